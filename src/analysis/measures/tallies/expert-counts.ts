import { schema } from "../../../core/schema.ts";
import type { LayerChunk } from "../../rows/layer-chunk.ts";
import type { RoutingShape, RunScope, StreamTally } from "../measure.ts";
import { amounts, wholeNumber } from "./state-json.ts";

/** How often a set of rows used each expert. */
export interface UsageCounts {
  /** Rows counted. */
  readonly rows: number;
  /** Per expert the rows that used it; they add up to `rows * topK`. */
  readonly counts: Float64Array;
  /** Per expert the sum of its mixing weights; `null` when the weights were not captured with the ids. */
  readonly weights: Float64Array | null;
}

/** Usage of one layer by label. Two numbers per label and expert. */
export interface ExpertCounts {
  readonly labels: readonly (string | null)[];
  /** Rows of each label. */
  readonly rows: Float64Array;
  /** `[labels, experts]`. */
  readonly counts: Float64Array;
  /** `[labels, experts]`; means nothing unless all rows were {@link weighted}. */
  readonly weights: Float64Array;
  weighted: boolean;
}

/** Counts how often each expert was used, and with what weights, by label. */
export const expertCounts: StreamTally<ExpertCounts> = {
  needs: ["chosen"],

  start: ({ labels, experts }) => countsFor(labels.names, experts),

  take(state, chunk, { labels, experts }) {
    addRows(state, chunk, chunk.sample, { labels, experts });
  },

  merge(a, b) {
    const experts = Math.max(expertsOf(a), expertsOf(b));
    const merged = countsFor([...new Set([...a.labels, ...b.labels])], experts);
    for (const { labels, rows, counts, weights, weighted } of [a, b]) {
      merged.weighted &&= weighted;
      labels.forEach((label, from) => {
        const to = merged.labels.indexOf(label);
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
    byLabel: labelCounts(state).map(([label, { rows, counts, weights }]) => ({
      label,
      rows,
      counts: [...counts],
      weights: weights && [...weights],
    })),
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
            }),
          ),
        })
        .transform(({ byLabel }) =>
          stateOf(
            byLabel.map(({ label, ...counts }) => [label, counts]),
            experts,
          ),
        ),
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
  const { rows, counts, weights: sums } = state;
  for (let row = 0, i = 0; row < sample.length; row++) {
    const group = labels.ofSample[sample[row]!]!;
    rows[group]!++;
    const base = group * experts;
    for (const end = (row + 1) * topK; i < end; i++) {
      counts[base + ids[i]!]!++;
      if (weights) sums[base + ids[i]!]! += weights[i]!;
    }
  }
}

/** The counts of each label, in order of the labels. */
export function labelCounts({ labels, rows, counts, weights, weighted }: ExpertCounts) {
  const experts = expertsOf({ labels, counts });
  const of = (all: Float64Array, group: number) => all.slice(group * experts, (group + 1) * experts);
  return labels.map((label, group): [string | null, UsageCounts] => [
    label,
    { rows: rows[group]!, counts: of(counts, group), weights: weighted ? of(weights, group) : null },
  ]);
}

/** All labels together. */
export function totalCounts(byLabel: Iterable<UsageCounts>, experts: number): UsageCounts {
  const none = { rows: 0, counts: new Float64Array(experts), weights: new Float64Array(experts) };
  return [...byLabel].reduce<UsageCounts>(sumOf, none);
}

/** The state that gives these counts. */
export function stateOf(
  byLabel: readonly (readonly [label: string | null, counts: UsageCounts])[],
  experts: number,
): ExpertCounts {
  const state = countsFor(
    byLabel.map(([label]) => label),
    experts,
  );
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

function countsFor(labels: readonly (string | null)[], experts: number): ExpertCounts {
  const { length } = labels;
  return {
    labels,
    rows: new Float64Array(length),
    counts: new Float64Array(length * experts),
    weights: new Float64Array(length * experts),
    weighted: true,
  };
}

function sumOf(a: UsageCounts, b: UsageCounts): UsageCounts {
  const sum = (x: Float64Array, y: Float64Array) => x.map((value, i) => value + y[i]!);
  return {
    rows: a.rows + b.rows,
    counts: sum(a.counts, b.counts),
    weights: a.weights && b.weights && sum(a.weights, b.weights),
  };
}
