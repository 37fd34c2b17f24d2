import type { Gating } from "../core/gating.ts";
import { groupScores, rankRow, scoreRow, weighRow } from "./gate-row.ts";

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
/** Scores below the normal numbers of single precision are 0 to some engines... */
const TINY = 1e-37;
/** ... which a softmax's are where a logit lies so far below the greatest. */
const FAR_BELOW = 85;

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
  const { logits, ids, weights, experts, topK } = rows;
  const count = ids.length / topK;
  const gate = new GateRow(experts, topK, gating, bias);
  for (let row = 0; row < count; row++) {
    const what = gate.fault(
      logits?.subarray(row * experts, (row + 1) * experts) ?? null,
      ids,
      weights?.subarray(row * topK, (row + 1) * topK) ?? null,
      row,
    );
    if (what !== null) return { row, what };
  }
  return null;
}

/** Checks one row after the other with the same arrays. It runs once in a process, mostly: few calls, plain loops. */
class GateRow {
  readonly #experts: number;
  readonly #topK: number;
  readonly #gating: Gating | null;
  readonly #bias: ArrayLike<number> | null;
  /** The row that last chose each expert. */
  readonly #chosenIn: Int32Array;
  /** Scores of the row, where they are needed of all experts. */
  readonly #scores: Float32Array;
  /** What the choice goes by. */
  #ranking: Float32Array;
  readonly #ownRanking: Float32Array;
  readonly #weights: Float32Array;
  /** Whether the logits rank as the scores do: nothing is added to them, and softmax keeps their order. */
  readonly #byLogits: boolean;

  constructor(experts: number, topK: number, gating: Gating | null, bias: ArrayLike<number> | null) {
    this.#experts = experts;
    this.#topK = topK;
    this.#gating = gating;
    this.#bias = bias;
    this.#chosenIn = new Int32Array(experts).fill(-1);
    this.#scores = new Float32Array(experts);
    this.#ownRanking = new Float32Array(experts);
    this.#ranking = this.#ownRanking;
    this.#weights = new Float32Array(topK);
    this.#byLogits =
      gating !== null &&
      gating.chosenBy === "scores" &&
      gating.score.startsWith("softmax") &&
      !bias &&
      !gating.groups;
  }

  fault(
    logits: Float32Array | null,
    ids: ArrayLike<number>,
    weights: Float32Array | null,
    row: number,
  ): string | null {
    const unknown = this.#idFault(ids, row);
    if (unknown !== null || logits === null || !areFinite(logits)) return unknown;
    if (weights && !areFinite(weights)) return `a weight is ${weights.find((w) => !Number.isFinite(w))}`;
    const gating = this.#gating;
    if (gating === null) return null;
    if (!this.#byLogits) {
      this.#scores.set(logits);
      scoreRow(this.#scores, gating.score);
    }
    const misplaced = gating.chosenBy === "token_id" ? null : this.#choiceFault(logits, ids, row, gating);
    return misplaced ?? (weights && this.#weightFault(logits, ids, weights, row, gating));
  }

  /** Ids are experts, each once; a table by token may name one twice. */
  #idFault(ids: ArrayLike<number>, row: number): string | null {
    const chosenIn = this.#chosenIn;
    for (let i = row * this.#topK; i < (row + 1) * this.#topK; i++) {
      const id = ids[i]!;
      if (!(id >= 0 && id < this.#experts))
        return `expert ${id} was used, and there are experts 0 to ${this.#experts - 1}`;
      if (chosenIn[id] === row && this.#gating?.chosenBy !== "token_id")
        return `expert ${id} was used twice for one token`;
      chosenIn[id] = row;
    }
    return null;
  }

  #choiceFault(logits: Float32Array, ids: ArrayLike<number>, row: number, gating: Gating): string | null {
    this.#ranking = this.#byLogits ? logits : this.#ownRanking;
    const ranking = this.#ranking;
    if (!this.#byLogits) {
      ranking.set(this.#scores);
      rankRow(ranking, logits, { chosenBy: gating.chosenBy, groups: null }, this.#bias);
    }
    const last = (row + 1) * this.#topK - 1;
    for (let i = row * this.#topK; i < last; i++)
      if (ranking[ids[i + 1]!]! > ranking[ids[i]!]! && this.#isAbove(ids[i + 1]!, ids[i]!))
        return `expert ${ids[i + 1]} comes behind expert ${ids[i]}, and ranks before it (${this.#compared(ids[i + 1]!, ids[i]!)})`;
    const open = gating.groups ? this.#openGroups(ids, row, gating.groups) : null;
    if (typeof open === "string") return open;
    const size = open ? this.#experts / open.length : 1;
    const least = ids[last]!;
    const lowest = ranking[least]!;
    for (let e = 0; e < this.#experts; e++)
      // Nearly all end at the first comparison.
      if (
        ranking[e]! > lowest &&
        this.#chosenIn[e] !== row &&
        (!open || open[Math.floor(e / size)]!) &&
        this.#isAbove(e, least)
      )
        return `expert ${least} was used and expert ${e} was not, which ranks before it (${this.#compared(e, least)})`;
    return null;
  }

  #weightFault(
    logits: Float32Array,
    ids: ArrayLike<number>,
    used: Float32Array,
    row: number,
    gating: Gating,
  ): string | null {
    const weights = this.#weights;
    const first = row * this.#topK;
    // Weights that are divided by their own sum do not need that of all experts.
    const ofChosen = this.#byLogits && (gating.score === "softmax_topk" || gating.normalize);
    if (this.#byLogits && !ofChosen) {
      this.#scores.set(logits);
      scoreRow(this.#scores, gating.score);
    }
    const scores = ofChosen ? logits : this.#scores;
    for (let i = 0; i < this.#topK; i++) weights[i] = scores[ids[first + i]!]!;
    weighRow(weights, 0, this.#topK, ofChosen ? { ...gating, score: "softmax_topk" } : gating);
    for (let i = 0; i < this.#topK; i++) {
      const [found, expected] = [used[i]!, weights[i]!];
      const error = WEIGHT_ERROR * Math.max(Math.abs(found), Math.abs(expected)) + TINY;
      if (!(Math.abs(found - expected) <= error))
        return `expert ${ids[first + i]} has the weight ${four(found)}, and the rule gives ${four(expected)}`;
    }
    return null;
  }

  /** By group whether it is certainly among those chosen from, or a fault. */
  #openGroups(
    ids: ArrayLike<number>,
    row: number,
    groups: NonNullable<Gating["groups"]>,
  ): boolean[] | string {
    const { count, used, best } = groups;
    const size = this.#experts / count;
    const scores = groupScores(this.#ranking, groups);
    const sorted = scores.slice().sort();
    const [lastIn, firstOut] = [sorted[count - used]!, sorted[count - used - 1]!];
    const error = 2 * best * SCORE_ERROR * (greatest(this.#scores) + (this.#bias ? greatest(this.#bias) : 0));
    for (let i = row * this.#topK; i < (row + 1) * this.#topK; i++) {
      const group = Math.floor(ids[i]! / size);
      if (lastIn - scores[group]! > error)
        return `expert ${ids[i]} was used, whose group ${group} is not among the best ${used} of ${count}`;
    }
    return Array.from(scores, (score) => score - firstOut > error);
  }

  /** Whether an expert ranks before another by more than engines may be wrong. */
  #isAbove(a: number, b: number): boolean {
    const ranking = this.#ranking;
    if (this.#byLogits && this.#gating!.score === "softmax") {
      // e^x differs by as much of itself as x does; too far down all are 0.
      const best = ranking.reduce((most, logit) => Math.max(most, logit));
      return ranking[a]! - ranking[b]! > 2 * SCORE_ERROR && best - ranking[a]! < FAR_BELOW;
    }
    return ranking[a]! - ranking[b]! > this.#error(a) + this.#error(b);
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

/** The greatest of absolute values. */
function greatest(values: ArrayLike<number>): number {
  let most = 0;
  for (let i = 0; i < values.length; i++) {
    const value = Math.abs(values[i]!);
    if (value > most) most = value;
  }
  return most;
}

function areFinite(values: Float32Array): boolean {
  // What is neither infinite nor NaN is 0 when it is taken from itself.
  let difference = 0;
  for (let i = 0; i < values.length; i++) difference += values[i]! - values[i]!;
  return difference === 0;
}

const four = (value: number) => Number(value.toPrecision(4));
