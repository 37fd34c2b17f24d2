import { ALPHA } from "./least-q.ts";

/**
 * By hypothesis the statistic that has p <= 0.05 once it is exceeded, from the same permutations as the p-values.
 * An interval difference ± √critical × standard error excludes 0 exactly where p <= 0.05, so that the two never contradict
 * each other. For a studentised statistic such intervals hold what they promise also where something differs: its
 * permutation distribution comes to be that of its sampling error (Janssen, Stat. Probab. Lett. 36, 1997; Chung and
 * Romano, Ann. Statist. 41, 2013).
 */
export class CriticalValues {
  readonly #keep: number;
  /** `[hypotheses, keep]`: the greatest so far, a heap with the least of them in front. */
  readonly #heaps: Float64Array;
  readonly #held: Uint32Array;

  /** @param exact whether the permutations are all there are. */
  constructor(hypotheses: number, permutations: number, exact: boolean) {
    this.#keep = exact ? Math.floor(ALPHA * permutations) + 1 : Math.floor(ALPHA * (permutations + 1));
    this.#heaps = new Float64Array(hypotheses * this.#keep);
    this.#held = new Uint32Array(hypotheses);
  }

  /** @param current statistics of a permutation; their amounts count. */
  add(current: Float64Array): void {
    const keep = this.#keep;
    if (keep === 0) return;
    for (let i = 0; i < current.length; i++) {
      const value = Math.abs(current[i]!);
      if (this.#held[i]! < keep) this.#rise(i, this.#held[i]!++, value);
      else if (value > this.#heaps[i * keep]!) this.#sink(i, value);
    }
  }

  /** `Infinity` where no statistic has p <= 0.05. */
  result(): Float64Array {
    const keep = this.#keep;
    return Float64Array.from(this.#held, (held, i) =>
      keep === 0 || held < keep ? Infinity : this.#heaps[i * keep]!,
    );
  }

  #rise(hypothesis: number, place: number, value: number): void {
    const from = hypothesis * this.#keep;
    while (place > 0) {
      const above = (place - 1) >> 1;
      if (this.#heaps[from + above]! <= value) break;
      this.#heaps[from + place] = this.#heaps[from + above]!;
      place = above;
    }
    this.#heaps[from + place] = value;
  }

  #sink(hypothesis: number, value: number): void {
    const [from, keep] = [hypothesis * this.#keep, this.#keep];
    let place = 0;
    for (let below = 1; below < keep; below = 2 * place + 1) {
      if (below + 1 < keep && this.#heaps[from + below + 1]! < this.#heaps[from + below]!) below++;
      if (this.#heaps[from + below]! >= value) break;
      this.#heaps[from + place] = this.#heaps[from + below]!;
      place = below;
    }
    this.#heaps[from + place] = value;
  }
}

/** Equal statistics of permutations summed in another order differ in the last digits; see `Exceedances`. */
const TIES = 1 + 1e-8;

/** Half an interval: `Infinity` where no difference can be told from 0. */
export const halfWidth = (critical: number, standardError: number): number =>
  critical === Infinity ? Infinity : Math.sqrt(critical * TIES) * standardError;
