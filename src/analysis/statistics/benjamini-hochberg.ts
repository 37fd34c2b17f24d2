/**
 * q-values: p-values adjusted for how many were looked at. Calling everything with q <= 0.05 a finding keeps the
 * expected part of false ones at 5 %, for independent or positively dependent tests.
 *
 * Source: Y. Benjamini, Y. Hochberg, J. R. Stat. Soc. B 57 (1995); as `scipy.stats.false_discovery_control`.
 */
export function benjaminiHochberg(pValues: ArrayLike<number>): Float64Array {
  const count = pValues.length;
  const order = Uint32Array.from({ length: count }, (_, i) => i).sort((a, b) => pValues[a]! - pValues[b]!);
  const q = new Float64Array(count);
  let least = 1;
  for (let rank = count; rank >= 1; rank--) {
    const test = order[rank - 1]!;
    least = Math.min(least, (pValues[test]! * count) / rank);
    q[test] = least;
  }
  return q;
}
