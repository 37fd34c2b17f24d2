/** Relative error of the chances that are fitted. */
const CLOSE = 1e-12;
/** An expert that nearly every row uses is fitted slowly; beyond this many steps the error is below a thousandth. */
const MOST_STEPS = 2000;

/**
 * Chance of each pair to be drawn together, when a row draws `size` different experts and each expert is among them as
 * often as it is used: the conditional Bernoulli distribution, which assumes least besides. Its odds are fitted by
 * multiplying each with the use that is wanted over the use that it gives; leave-one-out chances come from sums of the
 * experts before and after, so that nothing cancels. Takes experts^2 x size additions.
 *
 * Source: Chen, Dempster and Liu, Biometrika 81 (1994); Hájek, Ann. Math. Statist. 35 (1964), as rejective sampling.
 *
 * @param inclusion part of the rows that use each expert; adds up to `size`.
 * @returns `[experts, experts]`, symmetric; the diagonal is `inclusion`.
 */
export function pairChances(inclusion: Float64Array, size: number): Float64Array {
  const experts = inclusion.length;
  const chances = new Float64Array(experts * experts);
  const all = [...inclusion.keys()];
  const always = all.filter((e) => inclusion[e]! > 1 - CLOSE);
  const open = all.filter((e) => inclusion[e]! > 0 && inclusion[e]! <= 1 - CLOSE);
  for (const a of always)
    for (let b = 0; b < experts; b++) chances[a * experts + b] = chances[b * experts + a] = inclusion[b]!;
  const left = size - always.length;
  const drawn = Float64Array.from(open, (e) => inclusion[e]!);
  const single = fitted(drawn, left);
  const whole = single.length === 0 ? 1 : sums(single, left).at(-1)![left]!;
  open.forEach((a, i) => {
    chances[a * experts + a] = inclusion[a]!;
    if (left < 2) return;
    const others = single.filter((_, j) => j !== i);
    const without = leaveOneOut(others, left - 2);
    for (let j = i + 1; j < open.length; j++) {
      const b = open[j]!;
      chances[a * experts + b] = chances[b * experts + a] =
        (single[i]! * single[j]! * without[j - 1]!) / whole;
    }
  });
  return chances;
}

/** Chances of independent experts which, where `size` of them are drawn, use each as often as is wanted. */
function fitted(wanted: Float64Array, size: number): Float64Array {
  const odds = wanted.map((p) => p / (1 - p));
  const chance = wanted.slice();
  if (size < 1 || size >= wanted.length) return chance;
  for (let step = 0; step < MOST_STEPS; step++) {
    const whole = sums(chance, size).at(-1)![size]!;
    const without = leaveOneOut(chance, size - 1);
    let worst = 0;
    let [mean, spread] = [0, 0];
    for (let e = 0; e < odds.length; e++) {
      const ratio = wanted[e]! / ((chance[e]! * without[e]!) / whole);
      worst = Math.max(worst, Math.abs(ratio - 1));
      odds[e]! *= ratio;
      const p = odds[e]! / (1 + odds[e]!);
      mean += p;
      spread += p * (1 - p);
    }
    // The odds matter up to a factor; this one keeps `size` experts likely, far from numbers too small to hold.
    const factor = Math.exp(Math.max(-1, Math.min(1, (size - mean) / spread)));
    for (let e = 0; e < odds.length; e++) {
      odds[e]! *= factor;
      chance[e] = odds[e]! / (1 + odds[e]!);
    }
    if (worst < CLOSE) break;
  }
  return chance;
}

/** By number of leading experts, the chances that 0 to `most` of them are drawn. */
function sums(chance: ArrayLike<number>, most: number): Float64Array[] {
  const found = [new Float64Array(most + 1)];
  found[0]![0] = 1;
  for (let e = 0; e < chance.length; e++) {
    const before = found[e]!;
    const p = chance[e]!;
    const after = new Float64Array(most + 1);
    for (let n = 0; n <= most; n++) after[n] = before[n]! * (1 - p) + (n > 0 ? before[n - 1]! * p : 0);
    found.push(after);
  }
  return found;
}

/** Chance that `drawn` of all experts but one are drawn, for each that is left out. */
function leaveOneOut(chance: Float64Array, drawn: number): Float64Array {
  const before = sums(chance, drawn);
  const after = sums(chance.slice().reverse(), drawn);
  return chance.map((_, e) => {
    const [left, right] = [before[e]!, after[chance.length - 1 - e]!];
    let sum = 0;
    for (let n = 0; n <= drawn; n++) sum += left[n]! * right[drawn - n]!;
    return sum;
  });
}
