import { nLogN } from "./n-log-n.ts";

/**
 * Jensen-Shannon divergence of each group's usage from the usage of all other groups together, in nats: from 0 to
 * ln 2. 0 for a group without rows and for one that has all of them.
 *
 * Source: Lin, IEEE Trans. Inf. Theory 37 (1991); the square of `scipy.spatial.distance.jensenshannon(p, q)`.
 *
 * @param counts `[groups, experts]`.
 * @param out one number per group.
 */
export function divergenceOfCounts(
  counts: Float64Array,
  groups: number,
  experts: number,
  out: Float64Array,
): void {
  const total = new Float64Array(experts);
  let all = 0;
  for (let g = 0; g < groups; g++)
    for (let e = 0; e < experts; e++) {
      total[e]! += counts[g * experts + e]!;
      all += counts[g * experts + e]!;
    }
  for (let g = 0; g < groups; g++) {
    let own = 0;
    for (let e = 0; e < experts; e++) own += counts[g * experts + e]!;
    const rest = all - own;
    // p ln p + q ln q - (p + q) ln((p + q) / 2), the first two from whole counts.
    let js = 0;
    if (own > 0 && rest > 0) {
      let ofOwn = 0;
      let ofRest = 0;
      let mixed = 0;
      for (let e = 0; e < experts; e++) {
        const n = counts[g * experts + e]!;
        const others = total[e]! - n;
        ofOwn += nLogN(n);
        ofRest += nLogN(others);
        const sum = n / own + others / rest;
        if (sum > 0) mixed += sum * Math.log(sum / 2);
      }
      js = Math.LN2 * (ofOwn / own - Math.log2(own) + ofRest / rest - Math.log2(rest)) - mixed;
    }
    // Rounding below 0 is no divergence.
    out[g] = Math.max(0, js / 2);
  }
}
