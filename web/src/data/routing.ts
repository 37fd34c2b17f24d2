import type { CaptureSummary } from "../../../src/server/captures/summary.ts";
import type { RowFilter as Conditions } from "../../../src/server/host/schemas.ts";
import type { MapFacts } from "../../../src/server/questions/map.ts";
import type { TokenRouting } from "../../../src/server/questions/token.ts";
import { captureKey } from "./captures.ts";
import { type Resource, useResource } from "./resource.ts";
import { server } from "./server.ts";

type Id = Pick<CaptureSummary, "id" | "version">;

/** Which rows are looked at. */
export type RowFilter = { readonly [K in keyof Conditions]?: Conditions[K] | null };

/** A question about one capture, by what it is kept under. */
const useAnswer = <T>(
  capture: Id,
  key: string | null,
  ask: (signal: AbortSignal) => Promise<T>,
): Resource<T> => useResource(key === null ? null : captureKey(capture, key), ask);

export const useUsage = (capture: Id, filter: RowFilter) =>
  useAnswer(capture, `usage ${JSON.stringify(filter)}`, (signal) =>
    server.get("/api/captures/{id}/usage", { id: capture.id, ...filter }, signal),
  );

export const useBalance = (capture: Id, filter: RowFilter) =>
  useAnswer(capture, `balance ${JSON.stringify(filter)}`, (signal) =>
    server.get("/api/captures/{id}/balance", { id: capture.id, ...filter }, signal),
  );

/** How far the experts of all layers serve the tokens that one serves. */
export const useSimilarity = (capture: Id, layer: number, expert: number) =>
  useAnswer(capture, `similarity ${layer} ${expert}`, (signal) =>
    server.get("/api/captures/{id}/similarity/{layer}/{expert}", { id: capture.id, layer, expert }, signal),
  );

export const useMapFacts = (capture: Id) =>
  useAnswer(capture, "map", (signal) => server.get("/api/captures/{id}/map", { id: capture.id }, signal));

export const useAnalysis = (capture: Id) =>
  useAnswer(capture, "analysis", (signal) =>
    server.get("/api/captures/{id}/analysis", { id: capture.id }, signal),
  );

export const useLayerAnalysis = (capture: Id, layer: number | null) =>
  useAnswer(capture, layer === null ? null : `analysis ${layer}`, (signal) =>
    server.get("/api/captures/{id}/analysis/{layer}", { id: capture.id, layer: layer! }, signal),
  );

export const useComparison = (a: Id, b: Id | null) =>
  useAnswer(a, b && `compare ${b.id}@${b.version}`, (signal) =>
    server.get("/api/compare", { a: a.id, b: b!.id }, signal),
  );

export interface RowQuery extends RowFilter {
  readonly from: number;
  readonly limit: number;
  readonly search?: string | null;
}

export const loadRows = (capture: Id, rows: RowQuery, signal?: AbortSignal) =>
  server.get("/api/captures/{id}/rows", { id: capture.id, ...rows }, signal);

export const useRows = (capture: Id, rows: RowQuery | null) =>
  useAnswer(capture, rows && `rows ${JSON.stringify(rows)}`, (signal) => loadRows(capture, rows!, signal));

/** A tile of the token x layer map, `[layers, cells]`; with `rows`, from only so many rows of each cell. */
export async function loadTile(
  capture: Id,
  measure: MapFacts["measures"][number],
  level: number,
  tile: number,
  signal: AbortSignal,
  rows?: number,
): Promise<Float32Array | Uint16Array> {
  const { data } = await server.get(
    "/api/captures/{id}/map/{measure}/{level}/{tile}",
    { id: capture.id, measure: measure.name, level, tile, rows },
    signal,
  );
  return data as Float32Array | Uint16Array;
}

/** A tile of the token x expert map of a layer: mean weights, `[experts, cells]`. */
export async function loadExpertTile(
  capture: Id,
  layer: number,
  level: number,
  tile: number,
  signal: AbortSignal,
): Promise<Float32Array> {
  const path = "/api/captures/{id}/experts/{layer}/{level}/{tile}";
  const { data } = await server.get(path, { id: capture.id, layer, level, tile }, signal);
  return data as Float32Array;
}

/** Who served one token. */
export const useTokenRouting = (capture: Id, row: number | null) =>
  useAnswer(capture, row === null ? null : `token ${row}`, (signal) =>
    server.get("/api/captures/{id}/tokens/{row}", { id: capture.id, row: row! }, signal),
  );

export type { TokenRouting };

export const useAtlas = (capture: Id) =>
  useAnswer(capture, "atlas", (signal) => server.get("/api/captures/{id}/atlas", { id: capture.id }, signal));

/** Lift of each pair of a layer's experts over that of all pairs, `[experts, experts]`; 1 is the usual pair. */
export const useCoactivation = (capture: Id, layer: number) =>
  useAnswer(capture, `coactivation ${layer}`, async (signal) => {
    const path = "/api/captures/{id}/coactivation/{layer}";
    return (await server.get(path, { id: capture.id, layer }, signal)).data as Float32Array;
  });
