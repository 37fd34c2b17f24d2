import { schema } from "../../core/schema.ts";
import { topkRow } from "../../gating/topk.ts";
import { CLUSTER_UNITS, effectiveInterval } from "../statistics/cluster-interval.ts";
import type { GroupMeasure, GroupRows } from "./measure.ts";

/** How well a layer's experts tell those of the next layer before it is reached: for who loads them ahead. */
export interface NextExperts {
  readonly from: number;
  readonly to: number;
  /** Tokens that were predicted, from texts that the predictor had not seen. */
  readonly tokens: number;
  readonly recalls: readonly Recall[];
}

/** Part of a token's experts that are among so many predicted ones. */
export interface Recall {
  readonly predicted: number;
  readonly recall: number;
  /** 95 % interval, a text as one observation. */
  readonly interval: readonly [low: number, high: number];
  /** The same with the layer's most used experts for every token. */
  readonly byPopularity: number;
}

/** Texts are seen by one predictor and predicted by the other. */
const FOLDS = 2;
/** Tokens that are predicted: as many more would make intervals no narrower that matter. */
const MAX_TESTED = 4_096;

interface State {
  readonly group: readonly number[];
  /** By fold, the texts that it learns from. `[experts, experts]`: rows by expert of both layers. */
  readonly pairs: readonly Float64Array[];
  readonly usedA: readonly Float64Array[];
  readonly usedB: readonly Float64Array[];
  /** By fold the experts in order of use. */
  popular: number[][];
  rows: number;
  /** Texts by the place they come in; the fold of a text follows from it. */
  sample: number;
  text: number;
  seen: number;
  tested: number;
  /** By number of predictions, `[units]`: hits, and hits of the most used; `[units]`: requests. */
  readonly hits: readonly Float64Array[];
  readonly popularHits: readonly Float64Array[];
  readonly requests: Float64Array;
  readonly texts: Set<number>;
}

/** As many predictions as a token has experts, and twice and four times as many. */
const FACTORS = [1, 2, 4] as const;

/** What the experts of one layer tell of those of the next. */
export const nextExperts: GroupMeasure<"nextExperts", readonly NextExperts[], State, NextExperts | null> = {
  name: "nextExperts",
  scope: "layers",
  cost: "test",
  keeps: "chosen",
  passes: 2,
  groups: (layers) => layers.slice(1).map((to, i) => [layers[i]!, to]),
  start({ experts }, group) {
    const folds = (length: number) => Array.from({ length: FOLDS }, () => new Float64Array(length));
    const units = () => FACTORS.map(() => new Float64Array(CLUSTER_UNITS));
    return {
      group,
      pairs: folds(experts * experts),
      usedA: folds(experts),
      usedB: folds(experts),
      popular: [],
      rows: 0,
      sample: -1,
      text: -1,
      seen: 0,
      tested: 0,
      hits: units(),
      popularHits: units(),
      requests: new Float64Array(CLUSTER_UNITS),
      texts: new Set(),
    };
  },
  take(state, rows, { experts }, pass) {
    if (pass === 0) learn(state, rows, experts);
    else predict(state, rows, experts);
  },
  next(state) {
    state.sample = -1;
    state.text = -1;
    state.popular = state.usedB.map((used) =>
      Array.from(used, (_, e) => e).sort((a, b) => used[b]! - used[a]! || a - b),
    );
  },
  group({ group, hits, popularHits, requests, texts, tested }, { experts, topK }) {
    const [from, to] = group as [number, number];
    const total = sumOf(requests);
    // One text is only learnt from.
    if (total === 0) return null;
    const having = requests.filter((n) => n > 0).length;
    return {
      from,
      to,
      tokens: tested,
      recalls: FACTORS.flatMap((factor, f): Recall[] => {
        const predicted = factor * topK;
        if (predicted > experts) return [];
        const recall = sumOf(hits[f]!) / total;
        const squares = hits[f]!.reduce((sum, n, unit) => sum + (n - recall * requests[unit]!) ** 2, 0);
        return [
          {
            predicted,
            recall,
            interval: effectiveInterval(recall, total, texts.size, having, squares, 0.95),
            byPopularity: sumOf(popularHits[f]!) / total,
          },
        ];
      }),
    };
  },
  gather: (parts) => parts.filter((part) => part !== null),
  schema: schema((z) => {
    const count = z.int().nonnegative();
    const share = z.number().min(0).max(1);
    return z.array(
      z.strictObject({
        from: count,
        to: count,
        tokens: count.meta({ description: "predicted, from texts that were not learnt from" }),
        recalls: z.array(
          z.strictObject({
            predicted: count.meta({ description: "experts that are predicted for a token" }),
            recall: share.meta({ description: "part of the token's experts among them" }),
            interval: z.tuple([share, share]).meta({ description: "95 %, a text as one observation" }),
            byPopularity: share.meta({ description: "with the layer's most used experts" }),
          }),
        ),
      }),
    );
  }),
  words: {
    title: "Next layer's experts",
    text: "How many of the next layer's experts can be named from this layer's, before it is reached.",
    uncertainty: "95 % interval, a text as one observation; texts are predicted from others only",
    terms: {
      recall: {
        title: "Recall of predicted experts",
        text: "Part of a token's experts in the next layer that are among so many predicted from its experts in this one. Beside it, the same with the layer's most used experts for every token.",
        formula:
          "predicted: those of greatest Σ P(b | a) over the token's experts a, counted in the other half of the texts",
      },
    },
  },
};

const sumOf = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0);

/** Every other text is for the other fold. */
function foldOf(state: State, sample: number): number {
  if (sample !== state.sample) {
    state.sample = sample;
    state.text++;
  }
  return state.text % FOLDS;
}

function learn(state: State, { rows, perRow, sample, experts: [a, b] }: GroupRows, experts: number): void {
  state.rows += rows;
  for (let row = 0; row < rows; row++) {
    const fold = foldOf(state, sample[row]!);
    const [pairs, usedA, usedB] = [state.pairs[fold]!, state.usedA[fold]!, state.usedB[fold]!];
    for (let i = row * perRow; i < (row + 1) * perRow; i++) {
      usedA[a![i]!]!++;
      usedB[b![i]!]!++;
      for (let j = row * perRow; j < (row + 1) * perRow; j++) pairs[a![i]! * experts + b![j]!]!++;
    }
  }
}

/** Of many rows, some that lie evenly. */
function predict(state: State, { rows, perRow, sample, experts: [a, b] }: GroupRows, experts: number): void {
  const step = Math.max(1, Math.ceil(state.rows / MAX_TESTED));
  const scores = new Float64Array(experts);
  const most = Math.min(experts, FACTORS.at(-1)! * perRow);
  const best = new Uint16Array(most);
  for (let row = 0; row < rows; row++) {
    const other = 1 - foldOf(state, sample[row]!);
    if (state.seen++ % step !== 0 || sumOf(state.usedA[other]!) === 0) continue;
    const [pairs, used] = [state.pairs[other]!, state.usedA[other]!];
    scores.fill(0);
    for (let i = row * perRow; i < (row + 1) * perRow; i++) {
      const expert = a![i]!;
      if (used[expert] === 0) continue;
      for (let e = 0, at = expert * experts; e < experts; e++, at++) scores[e]! += pairs[at]! / used[expert]!;
    }
    topkRow(scores, 0, experts, most, best, 0);
    const unit = state.text % CLUSTER_UNITS;
    const popular = state.popular[other]!;
    state.tested++;
    state.texts.add(state.text);
    state.requests[unit]! += perRow;
    FACTORS.forEach((factor, f) => {
      const predicted = Math.min(most, factor * perRow);
      for (let i = row * perRow; i < (row + 1) * perRow; i++) {
        const at = best.indexOf(b![i]!);
        if (at >= 0 && at < predicted) state.hits[f]![unit]!++;
        if (popular.indexOf(b![i]!) < predicted) state.popularHits[f]![unit]!++;
      }
    });
  }
}
