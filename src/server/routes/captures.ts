import { z } from "zod";
import { capture, captureList, rowColumns, tokenRouting, vocabulary } from "../api/captures.ts";
import { captureId, type Dtype, layer, rowBytes, rowFilter, streamName, whole } from "../api/values.ts";
import type { CaptureLibrary } from "../capture-library.ts";
import { ROW_COLUMNS } from "../operations/rows.ts";
import { etagOf, isKnown, requestedRange, respond } from "../respond.ts";
import { type Route, route } from "../route.ts";
import { ServerError } from "../server-error.ts";

/** Bytes of values in one answer. Larger ones are asked for in parts: by rows or by `Range`. */
const MAX_VALUES = 64 << 20;
const MAX_PAGE = 10_000;
const tag = "captures";

const params = z.object({ id: captureId });
const ARRAY = {
  200: {
    description: "the values, little-endian; `x-dtype` and `x-shape` say what they are",
    type: "application/octet-stream",
  },
  206: { description: "the bytes of the `Range` header", type: "application/octet-stream" },
} as const;

/** What is in the captures: facts, rows and values. */
export function captureRoutes(library: CaptureLibrary): Route[] {
  return [
    route(
      {
        method: "get",
        path: "/api/captures",
        tag,
        summary: "All captures, with what their manifests say",
        responses: { 200: { description: "the captures, by name", schema: captureList } },
      },
      async () => {
        const { body, type } = await library.list();
        return new Response(body, { headers: { "content-type": type, "cache-control": "no-store" } });
      },
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}",
        tag,
        summary: "One capture: everything but its rows",
        params,
        responses: { 200: { description: "the capture", schema: capture } },
      },
      async ({ params, c }) => {
        const found = await library.capture(params.id);
        return respond(c, await library.ask("details", { capture: found }), found.version);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}/rows",
        tag,
        summary: "Rows that meet the conditions, as columns, a page at a time",
        params,
        query: rowFilter.extend({
          from: whole.default(0),
          limit: whole.max(MAX_PAGE).default(1000),
          search: z.string().min(1).max(200).optional().meta({ description: "the token's text holds this" }),
        }),
        responses: { 200: { description: "a page", schema: rowColumns } },
      },
      async ({ params, query, c }) => {
        const found = await library.capture(params.id);
        return respond(c, await library.ask("rows", { capture: found, query }), found.version);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}/tokens/{row}",
        tag,
        summary: "One row: who served it in every layer",
        params: params.extend({ row: whole }),
        responses: { 200: { description: "the token", schema: tokenRouting } },
      },
      async ({ params: { id, row }, c }) => {
        const found = await library.capture(id);
        return respond(c, await library.ask("token", { capture: found, row }), found.version);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}/rows/{column}",
        tag,
        summary: "A column of all rows: int32, of `phase` uint8 (0 prompt, 1 generated)",
        params: params.extend({ column: z.enum(ROW_COLUMNS) }),
        responses: ARRAY,
      },
      async ({ params: { id, column }, c }) => {
        const found = await library.capture(id);
        return respond(c, await library.ask("column", { capture: found, column }), found.version);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}/vocabulary",
        tag,
        summary: "The text of every token that occurs",
        params,
        responses: { 200: { description: "columns of equal length", schema: vocabulary } },
      },
      async ({ params, c }) => {
        const found = await library.capture(params.id);
        return respond(c, await library.ask("vocabulary", { capture: found }), found.version);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/captures/{id}/streams/{stream}/{layer}",
        tag,
        summary: "Values of a stream in a layer, [rows, width]",
        params: params.extend({ stream: streamName, layer }),
        query: z.object({
          from: whole.default(0),
          to: whole.optional().meta({ description: "default: the last row" }),
        }),
        responses: ARRAY,
      },
      async ({ params: { id, stream, layer }, query, c }) => {
        const found = await library.capture(id);
        const shape = await library.ask("shape", { capture: found, stream, layer });
        const { rows, width, type } = JSON.parse(new TextDecoder().decode(shape.body)) as {
          rows: number;
          width: number;
          type: Dtype;
        };
        const from = Math.min(query.from, rows);
        const to = Math.max(from, Math.min(query.to ?? rows, rows));
        const bytes = rowBytes(type, width);
        const etag = etagOf(found.version);
        const range = requestedRange(c, (to - from) * bytes, etag);
        if (!range || isKnown(c, etag)) {
          limit((to - from) * bytes);
          const answer = await library.ask("stream", { capture: found, stream, layer, from, to });
          return respond(c, answer, found.version);
        }
        // Of a range only the rows that hold it are read.
        limit(range.to - range.from);
        const first = Math.floor(range.from / bytes);
        const last = Math.ceil(range.to / bytes);
        const { body } = await library.ask("stream", {
          capture: found,
          stream,
          layer,
          from: from + first,
          to: from + last,
        });
        return new Response(body.subarray(range.from - first * bytes, range.to - first * bytes), {
          status: 206,
          headers: {
            "content-type": "application/octet-stream",
            "content-range": `bytes ${range.from}-${range.to - 1}/${(to - from) * bytes}`,
            "accept-ranges": "bytes",
            "x-dtype": type,
            "x-shape": `${to - from},${width}`,
            etag,
            "cache-control": "private, no-cache",
          },
        });
      },
    ),
  ];
}

function limit(bytes: number): void {
  if (bytes > MAX_VALUES)
    throw new ServerError(
      "TOO_LARGE",
      `${bytes} bytes are asked for at once, the limit is ${MAX_VALUES}; ask for parts with from and to, or with Range`,
    );
}
