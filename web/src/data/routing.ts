import type { ExpertAtlas } from "../../../src/analysis/expert-atlas.ts";
import type { MapFacts } from "../../../src/server/api/analysis.ts";
import type { CaptureSummary, RowColumns, TokenRouting } from "../../../src/server/api/captures.ts";
import type { AnalysisOverview, LayerAnalysis } from "../../../src/views/facts/analysis.ts";
import type { ComparisonFacts } from "../../../src/views/facts/comparison.ts";
import type { SimilarityFacts } from "../../../src/views/facts/similarity.ts";
import type { BalanceFacts, UsageFacts } from "../../../src/views/facts/usage.ts";
import { captureKey } from "./captures.ts";
import { getBuffer, getJson, request } from "./request.ts";
import { type Resource, useResource } from "./resource.ts";

type Id = Pick<CaptureSummary, "id" | "version">;

/** Which rows are looked at. */
export interface RowFilter {
  readonly label?: string | null;
  readonly phase?: string | null;
  readonly sample?: number | null;
  /** Rows that used this expert of this layer. */
  readonly layer?: number | null;
  readonly expert?: number | null;
}

function query(parts: Readonly<Record<string, string | number | null | undefined>>): string {
  const set = Object.entries(parts).filter(([, value]) => value !== null && value !== undefined);
  return set.length === 0 ? "" : `?${new URLSearchParams(set.map(([key, value]) => [key, String(value)]))}`;
}

/** A question about a capture, by the path of its answer. */
function useAnswer<T>(capture: Id | null, path: string | null): Resource<T> {
  const key = capture && path !== null ? captureKey(capture, path) : null;
  return useResource<T>(key, (signal) => getJson<T>(`captures/${capture!.id}/${path}`, signal));
}

export const useUsage = (capture: Id, filter: RowFilter) =>
  useAnswer<UsageFacts>(capture, `usage${query({ ...filter })}`);

export const useBalance = (capture: Id, filter: RowFilter) =>
  useAnswer<BalanceFacts>(capture, `balance${query({ ...filter })}`);

/** How far the experts of all layers serve the tokens that one serves. */
export const useSimilarity = (capture: Id, layer: number, expert: number) =>
  useAnswer<SimilarityFacts>(capture, `similarity/${layer}/${expert}`);

export const useMapFacts = (capture: Id) => useAnswer<MapFacts>(capture, "map");

/** How long to wait before asking whether the analysis is done, in milliseconds. */
const ASK_AGAIN = 400;

/** Answers that take the server a while: it says that it is not done yet, and is asked again. */
async function patient<T>(path: string, signal: AbortSignal): Promise<T> {
  for (;;) {
    const response = await request(path, { signal });
    const body = (await response.json()) as T;
    if (response.status !== 202) return body;
    await new Promise((resolve) => setTimeout(resolve, ASK_AGAIN));
    signal.throwIfAborted();
  }
}

export const useAnalysis = (capture: Id) =>
  useResource(captureKey(capture, "analysis"), (signal) =>
    patient<AnalysisOverview>(`captures/${capture.id}/analysis`, signal),
  );

export const useLayerAnalysis = (capture: Id, layer: number | null) =>
  useResource(layer === null ? null : captureKey(capture, `analysis/${layer}`), (signal) =>
    patient<LayerAnalysis>(`captures/${capture.id}/analysis/${layer}`, signal),
  );

export const useComparison = (a: Id, b: Id | null) =>
  useResource(b && captureKey(a, `compare/${b.id}@${b.version}`), (signal) =>
    patient<ComparisonFacts>(`compare${query({ a: a.id, b: b!.id })}`, signal),
  );

export interface RowQuery extends RowFilter {
  readonly from: number;
  readonly limit: number;
  readonly search?: string | null;
}

export const loadRows = (capture: Id, rows: RowQuery, signal?: AbortSignal) =>
  getJson<RowColumns>(`captures/${capture.id}/rows${query({ ...rows })}`, signal);

export const useRows = (capture: Id, rows: RowQuery | null) =>
  useAnswer<RowColumns>(capture, rows && `rows${query({ ...rows })}`);

const ARRAYS = { float32: Float32Array, uint16: Uint16Array } as const;

/** A tile of the token x layer map, `[layers, cells]`; with `rows`, from only so many rows of each cell. */
export async function loadTile(
  capture: Id,
  measure: MapFacts["measures"][number],
  level: number,
  tile: number,
  signal: AbortSignal,
  rows?: number,
): Promise<Float32Array | Uint16Array> {
  const part = rows === undefined ? "" : `&rows=${rows}`;
  const path = `captures/${capture.id}/map/${measure.name}/${level}/${tile}?v=${capture.version}${part}`;
  return new ARRAYS[measure.dtype](await getBuffer(path, signal));
}

/** A tile of the token x expert map of a layer: mean weights, `[experts, cells]`. */
export async function loadExpertTile(
  capture: Id,
  layer: number,
  level: number,
  tile: number,
  signal: AbortSignal,
): Promise<Float32Array> {
  const path = `captures/${capture.id}/experts/${layer}/${level}/${tile}?v=${capture.version}`;
  return new Float32Array(await getBuffer(path, signal));
}

/** Who served one token; see the server's `tokens/{row}`. */
export const useTokenRouting = (capture: Id, row: number | null) =>
  useAnswer<TokenRouting>(capture, row === null ? null : `tokens/${row}`);

export type { TokenRouting };

export const useAtlas = (capture: Id) =>
  useResource(captureKey(capture, "atlas"), (signal) =>
    patient<ExpertAtlas>(`captures/${capture.id}/atlas`, signal),
  );

/** Lift of each pair of a layer's experts over that of all pairs, `[experts, experts]`; 1 is the usual pair. */
export const useCoactivation = (capture: Id, layer: number) =>
  useResource(
    captureKey(capture, `coactivation/${layer}`),
    async (signal) =>
      new Float32Array(await getBuffer(`captures/${capture.id}/coactivation/${layer}`, signal)),
  );
