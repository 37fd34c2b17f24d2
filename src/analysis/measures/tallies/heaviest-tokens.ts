import type { LayerChunk } from "../../rows/layer-chunk.ts";

const NONE = -1;

/** By expert the rows of the token types that it gave most weight, each type once. */
export interface HeaviestTokens {
  readonly places: number;
  /** `[experts, places]`, unordered: the row and weight of each token held. */
  readonly rows: Int32Array;
  readonly weights: Float32Array;
  /** Least weight held by each expert; what does not exceed it is no candidate. */
  readonly least: Float32Array;
}

export const startHeaviest = (experts: number, places: number): HeaviestTokens => ({
  places,
  rows: new Int32Array(experts * places).fill(NONE),
  weights: new Float32Array(experts * places).fill(-Infinity),
  least: new Float32Array(experts).fill(-Infinity),
});

/** @param tokenId of all rows. */
export function addHeaviest(
  state: HeaviestTokens,
  { from, rows, ids, weights, unranked, topK }: LayerChunk,
  tokenId: Int32Array,
): void {
  if (!weights) return;
  for (let i = 0; i < rows * topK; i++) {
    if (!(weights[i]! > state.least[ids[i]!]!)) continue;
    const row = Math.floor(i / topK);
    if (unranked?.[row] !== 1) hold(state, tokenId, ids[i]!, from + row, weights[i]!);
  }
}

/** A type takes one place, with its greatest weight; a new one takes the place of the lightest. */
function hold(state: HeaviestTokens, tokenId: Int32Array, expert: number, row: number, weight: number): void {
  const { places, rows, weights } = state;
  const at = expert * places;
  let place = at;
  for (let i = at; i < at + places; i++) {
    if (rows[i] !== NONE && tokenId[rows[i]!] === tokenId[row]) {
      place = i;
      break;
    }
    if (weights[i]! < weights[place]!) place = i;
  }
  if (weight <= weights[place]!) return;
  rows[place] = row;
  weights[place] = weight;
  let least = Infinity;
  for (let i = at; i < at + places; i++) least = Math.min(least, weights[i]!);
  state.least[expert] = least;
}

/** Rows and weights of an expert, the heaviest first. */
export function heaviestOf({ places, rows, weights }: HeaviestTokens, expert: number) {
  return Array.from({ length: places }, (_, i) => expert * places + i)
    .filter((i) => rows[i] !== NONE)
    .sort((a, b) => weights[b]! - weights[a]! || rows[a]! - rows[b]!)
    .map((i) => ({ row: rows[i]!, weight: weights[i]! }));
}
