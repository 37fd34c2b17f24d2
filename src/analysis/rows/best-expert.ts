/**
 * The best expert of a row, in the two ways it is told today. They differ where an engine does not rank a row's experts
 * (vLLM's grouped top-k does not).
 */

/** The first of the row's ids: what flows, paths, texts and the probe call the best. */
export const firstExpert = (ids: ArrayLike<number>, row: number, topK: number): number => ids[row * topK]!;

/** The one of most weight: what a comparison calls the best where weights are known. The first of several. */
export function heaviestExpert(ids: Uint16Array, weights: Float32Array, row: number, topK: number): number {
  let best = row * topK;
  for (let i = best + 1; i < (row + 1) * topK; i++) if (weights[i]! > weights[best]!) best = i;
  return ids[best]!;
}
