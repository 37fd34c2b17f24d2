import { concatArrays } from "../../core/concat-arrays.ts";
import { lowerBound } from "../../core/lower-bound.ts";

/**
 * q-values: p-values adjusted for how many were looked at. Calling everything with q <= 0.05 a finding keeps the
 * expected part of false ones at 5 %, for independent or positively dependent tests; where nothing is to be found, so
 * does the chance of any finding.
 *
 * Source: Y. Benjamini, Y. Hochberg, J. R. Stat. Soc. B 57 (1995); as `scipy.stats.false_discovery_control`.
 *
 * @param pValues in parts of any number. Those above a level may be left out: the q of what is left is the same up to
 *   that level.
 * @param tests how many there were in all.
 * @returns the q-value of a p-value that is among them.
 */
export function falseDiscovery(pValues: readonly Float64Array[], tests: number): (pValue: number) => number {
  const sorted = concatArrays(Float64Array, pValues).sort();
  const q = new Float64Array(sorted.length);
  let least = 1;
  for (let rank = sorted.length; rank >= 1; rank--) {
    least = Math.min(least, (sorted[rank - 1]! * tests) / rank);
    q[rank - 1] = least;
  }
  return (pValue) => {
    const at = lowerBound(sorted, pValue);
    return at < q.length ? q[at]! : 1;
  };
}

/** What may turn out to be a finding once it is known how many tests there were. */
export interface Candidate {
  readonly pValue: number;
  /** What findings are ordered by, the greatest first. */
  readonly strength: number;
}

/**
 * Those that can be among the `most` strongest findings wherever the line between findings and others is drawn: of all
 * with a p-value as small, one of the `most` strongest. Few of many, so that they can cross threads.
 */
export function contenders<C extends Candidate>(candidates: readonly C[], most: number): C[] {
  const strongest: number[] = [];
  return [...candidates]
    .sort((a, b) => a.pValue - b.pValue || b.strength - a.strength)
    .filter(({ strength }) => {
      if (strongest.length === most && strength <= strongest.at(-1)!) return false;
      const place = strongest.findIndex((other) => other < strength);
      strongest.splice(place < 0 ? strongest.length : place, 0, strength);
      strongest.length = Math.min(strongest.length, most);
      return true;
    });
}

/** The strongest findings. */
export const findingsOf = <C extends Candidate>(
  candidates: readonly C[],
  qValue: (pValue: number) => number,
  level: number,
  most: number,
): (C & { readonly qValue: number })[] =>
  candidates
    .map((candidate) => ({ ...candidate, qValue: qValue(candidate.pValue) }))
    .filter(({ qValue }) => qValue <= level)
    .sort((a, b) => b.strength - a.strength)
    .slice(0, most);
