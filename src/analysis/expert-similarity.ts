import type { Capture } from "../capture/capture.ts";
import { chosenExperts, routedLayers } from "./rows/chosen.ts";

/** How far the experts of all layers serve the tokens that one expert serves. */
export interface ExpertSimilarity {
  readonly rows: number;
  /** Rows that used the expert. */
  readonly used: number;
  readonly layers: readonly SimilarityOfLayer[];
}

interface SimilarityOfLayer {
  readonly layer: number;
  /** By expert: rows that used it. */
  readonly counts: Uint32Array;
  /** By expert: rows that used both it and the one that is looked at. */
  readonly shared: Uint32Array;
  /** By expert, see {@link phi}. */
  readonly phi: Float64Array;
}

/**
 * Compare the use of an expert with that of every expert of every layer, token by token.
 *
 * @throws as `chosenRows`.
 */
export function expertSimilarity(capture: Capture, layer: number, expert: number): ExpertSimilarity {
  const { rows } = capture;
  const experts = capture.model.moe?.experts ?? 0;
  const usesIt = new Uint8Array(rows.length);
  let used = 0;
  for (const { from, rows: n, ids } of chosenExperts(capture, layer)) {
    const topK = ids.length / n;
    for (let i = 0; i < ids.length; i++)
      if (ids[i] === expert) {
        usesIt[from + Math.floor(i / topK)] = 1;
        used++;
      }
  }
  const layers = routedLayers(capture).map((of) => {
    const counts = new Uint32Array(experts);
    const shared = new Uint32Array(experts);
    for (const { from, rows: n, ids } of chosenExperts(capture, of)) {
      const topK = ids.length / n;
      for (let row = 0; row < n; row++)
        for (let i = row * topK; i < (row + 1) * topK; i++) {
          counts[ids[i]!]!++;
          shared[ids[i]!]! += usesIt[from + row]!;
        }
    }
    const similarity = Float64Array.from(counts, (count, e) => phi(rows.length, used, count, shared[e]!));
    return { layer: of, counts, shared, phi: similarity };
  });
  return { rows: rows.length, used, layers };
}

/**
 * The phi coefficient of two experts, i.e. Pearson's correlation of "the token used a" and "the token used b": 1, they
 * serve the same tokens; 0, as many in common as chance gives; below, they avoid each other. Unlike the share of common
 * tokens it does not rise for experts that serve many. NaN where one serves no token, or every one.
 *
 * Source: Yule, "On the methods of measuring association between two attributes", J. R. Stat. Soc. 75 (1912).
 *
 * @param rows how many there are; `a` and `b` of them used the one and the other expert, `both` used both.
 */
export function phi(rows: number, a: number, b: number, both: number): number {
  return (rows * both - a * b) / Math.sqrt(a * (rows - a) * b * (rows - b));
}
