import { groupScores, rankRow, scoreRow, weighRow } from "./gate-row.ts";
import type { Gating } from "./gating.ts";

/** Some rows of a layer as an engine computed them, row-major. */
export interface GateRows {
  /** `[rows, experts]`; `null`: not known. */
  readonly logits: Float32Array | null;
  /** `[rows, topK]`. */
  readonly ids: ArrayLike<number>;
  /** `[rows, topK]`; `null`: not known. */
  readonly weights: Float32Array | null;
  readonly experts: number;
  readonly topK: number;
}

export interface GateFault {
  /** Which of the rows. */
  readonly row: number;
  /** What was found and what was expected, as a sentence. */
  readonly what: string;
}

/**
 * How far an engine's scores may lie from ours, relative to their size. The logits are the engine's own, so only the
 * functions differ: CPU kernels by some 1e-7, kernels with fast exponentials by 2 + 1.2 |x| units in the last place
 * (CUDA C++ Programming Guide, `__expf`), 1.1e-5 where a score is e^-80.
 */
const SCORE_ERROR = 2e-5;
/** The same of weights, which a sum and a division come on top of. A rule that is wrong is off by far more. */
const WEIGHT_ERROR = 1e-4;
/** Scores below the normal numbers of single precision are 0 to some engines. */
const TINY = 1e-37;

/**
 * Hold an engine's experts and weights against its own logits: whether the experts are those with the greatest scores,
 * in falling order, and the weights what the rule makes of logits and experts.
 *
 * Scores nearer to each other than engines compute them may come in any order. Rows whose logits are not finite are
 * held against nothing but their ids. Without a rule, ids must be experts, each once, and weights finite.
 *
 * @param bias one number per expert, where the rule has a selection bias.
 * @returns the first fault, or `null`.
 */
export function gateFault(
  rows: GateRows,
  gating: Gating | null,
  bias: ArrayLike<number> | null,
): GateFault | null {
  const { topK } = rows;
  const count = rows.ids.length / topK;
  const check = new RowCheck(rows, gating, bias);
  for (let row = 0; row < count; row++) {
    const what = check.idFault(row) ?? check.ruleFault(row);
    if (what !== null) return { row, what };
  }
  return null;
}

class RowCheck {
  readonly #rows: GateRows;
  readonly #gating: Gating | null;
  readonly #bias: ArrayLike<number> | null;
  /** The row that last chose each expert. */
  readonly #chosenIn: Int32Array;
  readonly #scores: Float32Array;
  readonly #ranking: Float32Array;
  readonly #weights: Float32Array;

  constructor(rows: GateRows, gating: Gating | null, bias: ArrayLike<number> | null) {
    this.#rows = rows;
    this.#gating = gating;
    this.#bias = bias;
    this.#chosenIn = new Int32Array(rows.experts).fill(-1);
    this.#scores = new Float32Array(rows.experts);
    this.#ranking = new Float32Array(rows.experts);
    this.#weights = new Float32Array(rows.topK);
  }

  /** Ids are experts, each once; a table by token may name one twice. */
  idFault(row: number): string | null {
    const { ids, topK, experts } = this.#rows;
    for (let i = row * topK; i < (row + 1) * topK; i++) {
      const id = ids[i]!;
      if (!(Number.isInteger(id) && id >= 0 && id < experts))
        return `expert ${id} was used, and there are experts 0 to ${experts - 1}`;
      if (this.#chosenIn[id] === row && this.#gating?.chosenBy !== "token_id")
        return `expert ${id} was used twice for one token`;
      this.#chosenIn[id] = row;
    }
    return null;
  }

  ruleFault(row: number): string | null {
    const { logits, weights, topK, experts } = this.#rows;
    const own = logits?.subarray(row * experts, (row + 1) * experts);
    if (!own?.every(Number.isFinite)) return null;
    const used = weights?.subarray(row * topK, (row + 1) * topK) ?? null;
    if (used && !used.every(Number.isFinite)) return `a weight is ${used.find((w) => !Number.isFinite(w))}`;
    if (this.#gating === null) return null;
    this.#scores.set(own);
    scoreRow(this.#scores, this.#gating.score);
    return this.#choiceFault(row, own, this.#gating) ?? (used && this.#weightFault(row, used, this.#gating));
  }

  #choiceFault(row: number, logits: Float32Array, gating: Gating): string | null {
    if (gating.chosenBy === "token_id") return null;
    const { ids, topK, experts } = this.#rows;
    const ranking = this.#ranking;
    ranking.set(this.#scores);
    rankRow(ranking, logits, { chosenBy: gating.chosenBy, groups: null }, this.#bias);
    const least = (row + 1) * topK - 1;
    for (let i = row * topK; i < least; i++)
      if (this.#isAbove(ids[i + 1]!, ids[i]!))
        return `expert ${ids[i + 1]} comes behind expert ${ids[i]}, and ranks before it (${this.#compared(ids[i + 1]!, ids[i]!)})`;
    const open = gating.groups ? this.#groupsOf(row, gating.groups) : null;
    if (typeof open === "string") return open;
    for (let e = 0; e < experts; e++)
      if (this.#chosenIn[e] !== row && (open?.[e] ?? true) && this.#isAbove(e, ids[least]!))
        return `expert ${ids[least]} was used and expert ${e} was not, which ranks before it (${this.#compared(e, ids[least]!)})`;
    return null;
  }

  #weightFault(row: number, used: Float32Array, gating: Gating): string | null {
    const { ids, topK } = this.#rows;
    for (let i = 0; i < topK; i++) this.#weights[i] = this.#scores[ids[row * topK + i]!]!;
    weighRow(this.#weights, 0, topK, gating);
    for (let i = 0; i < topK; i++) {
      const [found, expected] = [used[i]!, this.#weights[i]!];
      const error = WEIGHT_ERROR * Math.max(Math.abs(found), Math.abs(expected)) + TINY;
      if (!(Math.abs(found - expected) <= error))
        return `expert ${ids[row * topK + i]} has the weight ${four(found)}, and the rule gives ${four(expected)}`;
    }
    return null;
  }

  /** By expert whether its group is certainly among those chosen from, or a fault. */
  #groupsOf(row: number, groups: NonNullable<Gating["groups"]>): boolean[] | string {
    const { count, used, best } = groups;
    const { ids, topK, experts } = this.#rows;
    const size = experts / count;
    const scores = groupScores(this.#ranking, groups);
    const errors = scores.map((_, g) => {
      let most = 0;
      for (let e = g * size; e < (g + 1) * size; e++) most = Math.max(most, this.#error(e));
      return best * most;
    });
    const order = Array.from(scores, (_, g) => g).sort((a, b) => scores[b]! - scores[a]!);
    const [lastIn, firstOut] = [order[used - 1]!, order[used]!];
    for (let i = row * topK; i < (row + 1) * topK; i++) {
      const group = Math.floor(ids[i]! / size);
      if (scores[lastIn]! - scores[group]! > errors[lastIn]! + errors[group]!)
        return `expert ${ids[i]} was used, whose group ${group} is not among the best ${used} of ${count}`;
    }
    return Array.from({ length: experts }, (_, e) => {
      const group = Math.floor(e / size);
      return scores[group]! - scores[firstOut]! > errors[firstOut]! + errors[group]!;
    });
  }

  #isAbove(a: number, b: number): boolean {
    return this.#ranking[a]! - this.#ranking[b]! > this.#error(a) + this.#error(b);
  }

  #error(expert: number): number {
    const own = this.#ranking[expert]!;
    const bias = this.#bias?.[expert] ?? 0;
    return SCORE_ERROR * (Math.abs(own - bias) + Math.abs(bias)) + TINY;
  }

  #compared(a: number, b: number): string {
    return `${four(this.#ranking[a]!)} to ${four(this.#ranking[b]!)}`;
  }
}

const four = (value: number) => Number(value.toPrecision(4));
