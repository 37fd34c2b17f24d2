import { z } from "zod";
import { layerFacts, overviewFacts } from "../../views/facts/analysis.ts";
import { atlasFacts } from "../../views/facts/atlas.ts";
import { comparisonFacts } from "../../views/facts/comparison.ts";
import { similarityFacts } from "../../views/facts/similarity.ts";
import { balanceFacts, usageFacts } from "../../views/facts/usage.ts";
import { allWords, wordsFacts } from "../../views/facts/words.ts";
import { analysisPending, mapFacts } from "../api/analysis.ts";
import { captureId, layer, rowFilter, whole } from "../api/values.ts";
import type { CaptureLibrary } from "../capture-library.ts";
import { MAX_CELL_ROWS, MEASURES } from "../operations/row-map.ts";
import { json, respond } from "../respond.ts";
import { type Route, route } from "../route.ts";

const tag = "analysis";
const params = z.object({ id: captureId });
/** How long an answer is waited for before the client hears how far it is, ms. */
const PATIENCE_MS = 5000;

const ARRAY = {
  200: {
    description: "the values, little-endian; `x-dtype` and `x-shape` say what they are",
    type: "application/octet-stream",
  },
  206: { description: "the bytes of the `Range` header", type: "application/octet-stream" },
} as const;
const PENDING = {
  202: { description: "not done yet: ask again", schema: analysisPending },
} as const;

/** What follows from the captures. Everything is computed once for each version of a capture. */
export function analysisRoutes(library: CaptureLibrary): Route[] {
  return [
    route(
      {
        method: "get",
        path: "/api/words",
        tag,
        summary: "The measures and the terms of what is shown, with formulas and sources",
        responses: { 200: { description: "the words", schema: wordsFacts() } },
      },
      () => json(allWords(), 200),
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}/usage",
        tag,
        summary: "Usage of every expert in the rows that meet the conditions",
        params,
        query: rowFilter,
        responses: { 200: { description: "layers x experts", schema: usageFacts() } },
      },
      async ({ params, query, c }) => {
        const capture = await library.capture(params.id);
        return respond(c, await library.ask("usage", { capture, filter: query }), capture.version);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}/balance",
        tag,
        summary: "How evenly the load of every layer is spread",
        params,
        query: rowFilter,
        responses: { 200: { description: "by layer", schema: balanceFacts() } },
      },
      async ({ params, query, c }) => {
        const capture = await library.capture(params.id);
        return respond(c, await library.ask("balance", { capture, filter: query }), capture.version);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}/map",
        tag,
        summary: "Facts of the token x layer map: its tiles and measures",
        params,
        responses: { 200: { description: "the facts", schema: mapFacts } },
      },
      async ({ params, c }) => {
        const capture = await library.capture(params.id);
        return respond(c, await library.ask("mapFacts", { capture }), capture.version);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}/map/{measure}/{level}/{tile}",
        tag,
        summary: "A tile of the token x layer map, [layers, cells]; NaN or 65535: not known",
        params: params.extend({ measure: z.enum(MEASURES), level: whole.max(40), tile: whole }),
        query: z.object({
          rows: z.coerce
            .number()
            .int()
            .min(1)
            .max(MAX_CELL_ROWS)
            .default(MAX_CELL_ROWS)
            .meta({ description: "rows of a cell that are read at most: few give a quick draft" }),
        }),
        responses: ARRAY,
      },
      async ({ params: { id, ...place }, query: { rows }, c }) => {
        const capture = await library.capture(id);
        return respond(c, await library.ask("mapTile", { capture, ...place, rows }), capture.version);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}/experts/{layer}/{level}/{tile}",
        tag,
        summary: "A tile of a layer's token x expert map, [experts, cells]: mean weights, 0 where not used",
        params: params.extend({ layer, level: whole.max(40), tile: whole }),
        responses: ARRAY,
      },
      async ({ params: { id, ...place }, c }) => {
        const capture = await library.capture(id);
        return respond(c, await library.ask("expertTile", { capture, ...place }), capture.version);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}/coactivation/{layer}",
        tag,
        summary: "Lift of each pair of experts over that of all pairs, [experts, experts]; 1: neutral",
        params: params.extend({ layer }),
        responses: ARRAY,
      },
      async ({ params: { id, layer }, c }) => {
        const capture = await library.capture(id);
        return respond(c, await library.ask("coactivation", { capture, layer }), capture.version);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}/similarity/{layer}/{expert}",
        tag,
        summary: "How far the experts of all layers serve the tokens that one serves",
        params: params.extend({ layer, expert: whole }),
        responses: { 200: { description: "by layer", schema: similarityFacts() } },
      },
      async ({ params: { id, ...place }, c }) => {
        const capture = await library.capture(id);
        return respond(c, await library.ask("similarity", { capture, ...place }), capture.version);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}/analysis",
        tag,
        summary: "Everything that was found, without the token preferences and the pairs' matrices",
        params,
        responses: { 200: { description: "the analysis", schema: overviewFacts() }, ...PENDING },
      },
      async ({ params, c }) => {
        const capture = await library.capture(params.id);
        const answer = await library.askPatiently("analysis", { capture }, PATIENCE_MS);
        return "body" in answer ? respond(c, answer, capture.version) : json(answer, 202);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}/analysis/{layer}",
        tag,
        summary: "Everything that was found in one layer",
        params: params.extend({ layer }),
        responses: { 200: { description: "the layer", schema: layerFacts() }, ...PENDING },
      },
      async ({ params: { id, layer }, c }) => {
        const capture = await library.capture(id);
        const answer = await library.askPatiently("analysisLayer", { capture, layer }, PATIENCE_MS);
        return "body" in answer ? respond(c, answer, capture.version) : json(answer, 202);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}/atlas",
        tag,
        summary: "All experts as points in a plane, near each other where they serve a similar mix",
        params,
        responses: { 200: { description: "the points", schema: atlasFacts() }, ...PENDING },
      },
      async ({ params, c }) => {
        const capture = await library.capture(params.id);
        const answer = await library.askPatiently("atlas", { capture }, PATIENCE_MS);
        return "body" in answer ? respond(c, answer, capture.version) : json(answer, 202);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/compare",
        tag,
        summary: "Two captures of the same prompts, token by token",
        query: z.object({ a: captureId, b: captureId }),
        responses: { 200: { description: "the comparison", schema: comparisonFacts() }, ...PENDING },
      },
      async ({ query, c }) => {
        const [a, b] = await Promise.all([library.capture(query.a), library.capture(query.b)]);
        const answer = await library.askPatiently("comparison", { a, b }, PATIENCE_MS);
        return "body" in answer ? respond(c, answer, `${a.version}-${b.version}`) : json(answer, 202);
      },
    ),
  ];
}
