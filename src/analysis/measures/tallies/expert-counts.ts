import { isFiniteRow } from "../../../core/finite-rows.ts";
import { schema } from "../../../core/schema.ts";
import type { LabelGroups } from "../../rows/label-groups.ts";
import type { LayerChunk } from "../../rows/layer-chunk.ts";
import type { UsageSpread } from "../../statistics/cluster-interval.ts";
import type { RoutingShape, RunScope, StreamTally } from "../measure.ts";
import { amounts, wholeNumber } from "./state-json.ts";
import {
  addRow,
  knownUnits,
  mergeUnits,
  spreadFromJson,
  spreadOf,
  spreadToJson,
  startUnits,
  type UnitCounts,
} from "./unit-counts.ts";

/** How often a set of rows used each expert. */
export interface UsageCounts {
  /** Rows counted. */
  readonly rows: number;
  /** Per expert the rows that used it; they add up to `rows * topK`. */
  readonly counts: Float64Array;
  /** Per expert the sum of its mixing weights; `null` when the weights were not captured with the ids. */
  readonly weights: Float64Array | null;
  /** How far texts differ, for intervals; `null` where it is not known, as in profiles of older versions. */
  readonly spread: UsageSpread | null;
}

/** Usage of one layer by label. Some numbers per label and expert. */
export interface ExpertCounts {
  readonly labels: readonly (string | null)[];
  /** Rows of each label. */
  readonly rows: Float64Array;
  /** `[labels, experts]`. */
  readonly counts: Float64Array;
  /** `[labels, experts]`; means nothing unless all rows were {@link weighted}. */
  readonly weights: Float64Array;
  weighted: boolean;
  /** Rows whose weights are not finite and are left out of {@link weights}. */
  notFinite: number;
  /** Spread of all samples together, and of each label's. */
  readonly spread: UnitCounts;
  readonly spreadByLabel: readonly UnitCounts[];
}

/** Counts how often each expert was used, and with what weights, by label. */
export const expertCounts: StreamTally<ExpertCounts> = {
  needs: ["chosen"],

  start: ({ labels, experts }) => countsFor(labels.names, experts, labels),

  take(state, chunk, { labels, experts }) {
    addRows(state, chunk, chunk.sample, { labels, experts });
  },

  merge(a, b) {
    const experts = Math.max(expertsOf(a), expertsOf(b));
    const labels = [...new Set([...a.labels, ...b.labels])];
    const merged = {
      ...countsFor(labels, experts),
      spread: mergeUnits(a.spread, b.spread),
      spreadByLabel: labels.map(
        (label) =>
          [a, b]
            .map(({ labels: of, spreadByLabel }) => spreadByLabel[of.indexOf(label)])
            .reduce((left, right) => (left && right ? mergeUnits(left, right) : (left ?? right)))!,
      ),
    };
    for (const { labels: own, rows, counts, weights, weighted, notFinite } of [a, b]) {
      merged.weighted &&= weighted;
      merged.notFinite += notFinite;
      own.forEach((label, from) => {
        const to = labels.indexOf(label);
        merged.rows[to]! += rows[from]!;
        for (let e = 0; e < experts; e++) {
          merged.counts[to * experts + e]! += counts[from * experts + e]!;
          merged.weights[to * experts + e]! += weights[from * experts + e]!;
        }
      });
    }
    return merged;
  },

  toJson: (state) => ({
    byLabel: labelCounts(state).map(([label, { rows, counts, weights, spread }]) => ({
      label,
      rows,
      counts: [...counts],
      weights: weights && [...weights],
      spread: spreadToJson(spread),
    })),
    spread: spreadToJson(spreadOf(state.spread)),
    notFinite: state.notFinite,
  }),

  fromJson: ({ experts }: RoutingShape) =>
    schema((z) =>
      z
        .object({
          byLabel: z.array(
            z.object({
              label: z.string().nullable(),
              rows: wholeNumber(),
              counts: amounts(experts),
              weights: amounts(experts).nullable(),
              spread: spreadFromJson(experts),
            }),
          ),
          spread: spreadFromJson(experts),
          // Profiles of older versions do not say.
          notFinite: wholeNumber().default(0),
        })
        .transform(({ byLabel, spread, notFinite }) => ({
          ...stateOf(
            byLabel.map(({ label, ...counts }) => [label, counts]),
            spread,
            experts,
          ),
          notFinite,
        })),
    )(),
};

/**
 * Counts rows that lie anywhere.
 *
 * @param sample the sample of each row.
 */
export function addRows(
  state: ExpertCounts,
  { ids, weights }: Pick<LayerChunk, "ids" | "weights">,
  sample: Int32Array,
  { labels, experts }: Pick<RunScope, "labels" | "experts">,
): void {
  const topK = ids.length / sample.length;
  state.weighted &&= weights !== null;
  const { rows, counts, weights: sums, spread, spreadByLabel } = state;
  for (let row = 0, i = 0; row < sample.length; row++) {
    const group = labels.ofSample[sample[row]!]!;
    rows[group]!++;
    const base = group * experts;
    const all = addRow(spread, sample[row]!);
    const own = addRow(spreadByLabel[group]!, sample[row]!);
    const isWeighed = weights !== null && isFiniteRow(weights, i, i + topK);
    if (weights && !isWeighed) state.notFinite++;
    for (const end = (row + 1) * topK; i < end; i++) {
      const expert = ids[i]!;
      counts[base + expert]!++;
      spread.counts[all + expert]!++;
      spreadByLabel[group]!.counts[own + expert]!++;
      if (isWeighed) sums[base + expert]! += weights[i]!;
    }
  }
}

/** All rows of a state. */
export function allCounts(state: ExpertCounts, experts: number): UsageCounts {
  const total = totalCounts(
    labelCounts(state).map(([, counts]) => counts),
    experts,
  );
  return { ...total, spread: spreadOf(state.spread) };
}

/** The counts of each label, in order of the labels. */
export function labelCounts({ labels, rows, counts, weights, weighted, spreadByLabel }: ExpertCounts) {
  const experts = expertsOf({ labels, counts });
  const of = (all: Float64Array, group: number) => all.slice(group * experts, (group + 1) * experts);
  return labels.map((label, group): [string | null, UsageCounts] => [
    label,
    {
      rows: rows[group]!,
      counts: of(counts, group),
      weights: weighted ? of(weights, group) : null,
      spread: spreadOf(spreadByLabel[group]!),
    },
  ]);
}

/** All labels together, without their spread. */
export function totalCounts(byLabel: Iterable<UsageCounts>, experts: number): UsageCounts {
  const none = {
    rows: 0,
    counts: new Float64Array(experts),
    weights: new Float64Array(experts),
    spread: null,
  };
  return [...byLabel].reduce<UsageCounts>(sumOf, none);
}

/** The state that gives these counts. */
export function stateOf(
  byLabel: readonly (readonly [label: string | null, counts: UsageCounts])[],
  spread: UsageSpread | null,
  experts: number,
): ExpertCounts {
  const state = {
    ...countsFor(
      byLabel.map(([label]) => label),
      experts,
    ),
    spread: knownUnits(spread),
    spreadByLabel: byLabel.map(([, counts]) => knownUnits(counts.spread)),
  };
  byLabel.forEach(([, { rows, counts, weights }], group) => {
    state.rows[group] = rows;
    state.counts.set(counts, group * experts);
    if (weights) state.weights.set(weights, group * experts);
    state.weighted &&= weights !== null;
  });
  return state;
}

const expertsOf = ({ labels, counts }: Pick<ExpertCounts, "labels" | "counts">) =>
  labels.length === 0 ? 0 : counts.length / labels.length;

function countsFor(
  labels: readonly (string | null)[],
  experts: number,
  groups: LabelGroups = { names: labels, ofSample: new Int32Array(0) },
): ExpertCounts {
  const { length } = labels;
  return {
    labels,
    rows: new Float64Array(length),
    counts: new Float64Array(length * experts),
    weights: new Float64Array(length * experts),
    weighted: true,
    notFinite: 0,
    ...startUnits(groups, experts),
  };
}

function sumOf(a: UsageCounts, b: UsageCounts): UsageCounts {
  const sum = (x: Float64Array, y: Float64Array) => x.map((value, i) => value + y[i]!);
  return {
    rows: a.rows + b.rows,
    counts: sum(a.counts, b.counts),
    weights: a.weights && b.weights && sum(a.weights, b.weights),
    spread: null,
  };
}
