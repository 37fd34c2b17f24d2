import type { Score } from "../../../core/gating.ts";
import { schema } from "../../../core/schema.ts";
import { EXP_REACH, expWithinReach, fastExp } from "../../../gating/exp.ts";
import { scoreRow } from "../../../gating/gate-row.ts";
import { topkRow } from "../../../gating/topk.ts";
import type { LayerChunk } from "../../rows/layer-chunk.ts";
import type { StreamTally } from "../measure.ts";
import { amounts, wholeNumber } from "./state-json.ts";

/** What the router of a layer said of all rows. Four numbers per expert. */
export interface RouterSums {
  rows: number;
  /** Rows left out: the log-sum-exp of their logits is not finite. */
  notFinite: number;
  /** Experts of the layer, and how many a token uses; 0 before the first row. */
  experts: number;
  topK: number;
  /** Σ softmax(logits), by expert. */
  readonly probabilities: Float64Array;
  /** Rows where the expert is among the topK of greatest logit. */
  readonly chosen: Float64Array;
  squaredLogZ: number;
  /** What the gate goes by where that is no softmax: its scores, each row's divided by their sum. */
  readonly own: OwnScores;
}

/** Sums of the scores of a gate that is no softmax, each row's divided by their sum. */
export interface OwnScores {
  /** `null`: a softmax, or not known. */
  score: OwnScore | null;
  /** Rows with scores and chosen experts. */
  rows: number;
  readonly shares: Float64Array;
  /** Rows that used the expert. */
  readonly used: Float64Array;
}

const OWN_SCORES = ["sigmoid", "sqrt_softplus"] as const satisfies readonly Score[];
type OwnScore = (typeof OWN_SCORES)[number];

/** Sums up what routers said: their softmax, and their own scores where those are others. */
export const routerSums: StreamTally<RouterSums> = {
  needs: ["router_logits"],

  start: ({ experts }) => ({
    rows: 0,
    notFinite: 0,
    experts: 0,
    topK: 0,
    probabilities: new Float64Array(experts),
    chosen: new Float64Array(experts),
    squaredLogZ: 0,
    own: { score: null, rows: 0, shares: new Float64Array(experts), used: new Float64Array(experts) },
  }),

  take(state, chunk) {
    const { experts, topK, gating } = chunk.routing;
    state.experts = experts;
    state.topK = topK;
    addSoftmax(state, chunk.logits!.data, chunk.rows);
    const score = OWN_SCORES.find((own) => own === gating?.score);
    if (score && chunk.hasIds) addOwnScores(state, score, chunk);
  },

  merge(a, b) {
    const sum = (x: Float64Array, y: Float64Array) => x.map((value, i) => value + y[i]!);
    return {
      rows: a.rows + b.rows,
      notFinite: a.notFinite + b.notFinite,
      experts: Math.max(a.experts, b.experts),
      topK: Math.max(a.topK, b.topK),
      probabilities: sum(a.probabilities, b.probabilities),
      chosen: sum(a.chosen, b.chosen),
      squaredLogZ: a.squaredLogZ + b.squaredLogZ,
      own: {
        score: a.own.score ?? b.own.score,
        rows: a.own.rows + b.own.rows,
        shares: sum(a.own.shares, b.own.shares),
        used: sum(a.own.used, b.own.used),
      },
    };
  },

  toJson: ({ probabilities, chosen, own, ...rest }) => ({
    ...rest,
    probabilities: [...probabilities],
    chosen: [...chosen],
    own: { ...own, shares: [...own.shares], used: [...own.used] },
  }),

  fromJson: ({ experts }) =>
    schema((z) =>
      z.object({
        rows: wholeNumber(),
        notFinite: wholeNumber(),
        experts: wholeNumber(),
        topK: wholeNumber(),
        probabilities: amounts(experts),
        chosen: amounts(experts),
        squaredLogZ: z.number().nonnegative(),
        own: z.object({
          score: z.enum(OWN_SCORES).nullable(),
          rows: wholeNumber(),
          shares: amounts(experts),
          used: amounts(experts),
        }),
      }),
    )(),
};

/** As `load_balancing_loss_func` has it: softmax of the logits, and the k greatest of that, whatever the gate does. */
function addSoftmax(state: RouterSums, logits: Float32Array, rows: number): void {
  const { experts, topK, probabilities, chosen } = state;
  const exp = new Float64Array(experts);
  const top = new Uint16Array(topK);
  for (let row = 0, from = 0; row < rows; row++, from += experts) {
    const logZ = expRow(logits, from, exp);
    if (!Number.isFinite(logZ)) {
      state.notFinite++;
      continue;
    }
    state.rows++;
    state.squaredLogZ += logZ * logZ;
    for (let e = 0; e < experts; e++) probabilities[e]! += exp[e]!;
    topkRow(logits, from, from + experts, topK, top, 0);
    for (let i = 0; i < topK; i++) chosen[top[i]!]!++;
  }
}

/**
 * Softmax of a row. Shifted by its first logit, which spares a search; by the greatest where that is too far from
 * others.
 *
 * @returns the log-sum-exp.
 */
function expRow(logits: Float32Array, from: number, out: Float64Array): number {
  const experts = out.length;
  let shift = logits[from]!;
  let z = 0;
  for (let e = 0; e < experts; e++) {
    const d = logits[from + e]! - shift;
    if (!(Math.abs(d) < EXP_REACH)) {
      z = Number.NaN;
      break;
    }
    const value = expWithinReach(d);
    out[e] = value;
    z += value;
  }
  if (Number.isNaN(z)) {
    shift = -Infinity;
    for (let e = 0; e < experts; e++) shift = Math.max(shift, logits[from + e]!);
    z = 0;
    for (let e = 0; e < experts; e++) {
      out[e] = fastExp(logits[from + e]! - shift);
      z += out[e]!;
    }
  }
  for (let e = 0; e < experts; e++) out[e]! /= z;
  return shift + Math.log(z);
}

function addOwnScores(
  { experts, own }: RouterSums,
  score: OwnScore,
  { logits, ids, rows }: LayerChunk,
): void {
  const topK = ids.length / rows;
  own.score = score;
  const scores = new Float32Array(experts);
  for (let row = 0; row < rows; row++) {
    scores.set(logits!.data.subarray(row * experts, (row + 1) * experts));
    scoreRow(scores, score);
    let sum = 0;
    for (let e = 0; e < experts; e++) sum += scores[e]!;
    if (!(sum > 0 && Number.isFinite(sum))) continue;
    own.rows++;
    for (let e = 0; e < experts; e++) own.shares[e]! += scores[e]! / sum;
    for (let i = row * topK; i < (row + 1) * topK; i++) own.used[ids[i]!]!++;
  }
}
