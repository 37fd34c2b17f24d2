import type { Capture } from "../../capture/capture.ts";
import { RequestError } from "../../core/errors.ts";
import { optionsReader, whole } from "../../core/options.ts";
import { allAtOnce, type Steps } from "../scan/steps.ts";
import { CLUSTER_UNITS, effectiveInterval } from "../statistics/cluster-interval.ts";
import { type CaptureComparison, captureComparison } from "./compare-captures.ts";

/** How checkpoints are compared. */
export interface CompareCheckpointsOptions {
  /** Random permutations of the usage tests. Default 1999. */
  readonly permutations?: number;
  /** Same seed, same p-values. Default 0. */
  readonly seed?: number;
}

const readOptions = optionsReader<CompareCheckpointsOptions>("compareCheckpoints", {
  permutations: whole(1),
  seed: whole(0, 0xffffffff),
});

/** How far the routing of two captures is the same, over all layers compared. */
export interface Agreement {
  /** Rows compared, and the samples they are of. */
  readonly rows: number;
  readonly samples: number;
  /** Part of the rows with the same experts in every layer. */
  readonly exact: number;
  /** Mean over rows and layers of |A ∩ B| / topK. */
  readonly overlap: number;
  /** 95 % interval of {@link overlap}, a sample as one observation. */
  readonly interval: readonly [low: number, high: number];
  /** Mean over the layers of the distance of usage, half of Σ |shareB - shareA| / topK: 0 the same, 1 nothing in common. */
  readonly usageShift: number;
  /** Experts whose usage differs beyond chance: q at most 0.05, over all layers and experts of this pair. */
  readonly shifted: number;
}

/** A capture of the order. */
export interface Checkpoint {
  /** To the first, the one before and the last; `null` where that is itself, or there is none. */
  readonly toFirst: Agreement | null;
  readonly toPrevious: Agreement | null;
  readonly toLast: Agreement | null;
  /** Experts that have settled by here, see {@link SettledExpert.settled}. */
  readonly settled: number;
}

/** How a layer came to the routing of the last capture. */
export interface CheckpointLayer {
  readonly layer: number;
  /** By capture, mean |A ∩ B| / topK with the one before (`null` for the first) and with the last. */
  readonly overlapWithPrevious: readonly (number | null)[];
  readonly overlapWithLast: readonly number[];
  readonly experts: readonly SettledExpert[];
}

/** When an expert's usage came to where it ends. */
export interface SettledExpert {
  readonly expert: number;
  /** By capture, part of the rows that used it: those it has in common with the last one. */
  readonly shares: readonly number[];
  /** By capture, half the 95 % interval of the difference from the last; `null` with too few samples. */
  readonly halfWidths: readonly (number | null)[];
  /** From this capture on its share stays within the tolerance of the last one's. */
  readonly settled: number;
  /** From this one on, the whole 95 % interval of the difference does; `null`: too few samples to say so of any but the last. */
  readonly surelySettled: number;
}

/** How routing changed from checkpoint to checkpoint. */
export interface CheckpointComparison {
  /** In the order given. */
  readonly checkpoints: readonly Checkpoint[];
  /** By layer, those that all have. */
  readonly layers: readonly CheckpointLayer[];
  /** A share may differ so far from the last one's: a tenth of the fair share. */
  readonly tolerance: number;
  /** MoE layers times experts. */
  readonly experts: number;
}

/** Of the fair share. */
const TOLERANCE = 0.1;
const ALPHA = 0.05;

/**
 * Compare captures of the same prompts in their order: checkpoints of a training run, steps of a quantisation. Each with
 * the first, the one before and the last, as `compareCaptures` does, and when each expert's usage came to where it ends.
 *
 * @param captures three or more; two are `compareCaptures`'.
 * @throws RequestError `INVALID_ARGUMENT` for fewer than three captures, and as `compareCaptures`.
 * @example
 * import { openCapture } from "moescope";
 * import { compareCheckpoints } from "moescope/analysis";
 * const steps = await Promise.all(["step1000", "step2000", "step3000"].map((folder) => openCapture(folder)));
 * for (const { toPrevious, settled } of compareCheckpoints(steps).checkpoints)
 *   console.log(toPrevious?.overlap, settled);
 */
export function compareCheckpoints(
  captures: readonly Capture[],
  options: CompareCheckpointsOptions = {},
): CheckpointComparison {
  return allAtOnce(checkpointComparison(captures, options));
}

/** {@link compareCheckpoints}, a pair of captures a step. */
export function* checkpointComparison(
  captures: readonly Capture[],
  options: CompareCheckpointsOptions = {},
): Steps<CheckpointComparison> {
  const { permutations, seed } = readOptions(options);
  if (!Array.isArray(captures) || captures.length < 3)
    throw new RequestError(
      "INVALID_ARGUMENT",
      "compareCheckpoints takes three captures or more, in their order; compareCaptures compares two",
    );
  const last = captures.length - 1;
  const pairs = pairsOf(last);
  const found = new Map<string, CaptureComparison>();
  for (const [a, b] of pairs) {
    const comparison = allAtOnce(
      captureComparison(captures[a]!, captures[b]!, {
        tokens: 0,
        ...(permutations !== undefined && { permutations }),
        ...(seed !== undefined && { seed }),
      }),
    );
    found.set(`${a} ${b}`, comparison);
    yield { done: found.size, total: pairs.length };
  }
  const between = (a: number, b: number) => found.get(`${a} ${b}`) ?? null;
  const toLast = captures.map((_, i) => between(i, last));
  const layers = [...toLast[0]!.layers.keys()].filter((layer) =>
    [...found.values()].every((comparison) => comparison.layers.has(layer)),
  );
  const { experts, topK } = captures[0]!.model.moe!;
  const tolerance = (TOLERANCE * topK) / experts;
  const byLayer = layers.map((layer): CheckpointLayer => {
    const of = (comparison: CaptureComparison | null) => comparison?.layers.get(layer) ?? null;
    return {
      layer,
      overlapWithPrevious: captures.map((_, i) => of(between(i - 1, i))?.overlap ?? null),
      overlapWithLast: toLast.map((comparison) => of(comparison)?.overlap ?? 1),
      experts: of(toLast[0]!)!.experts.map(({ expert }) =>
        settledExpert(
          expert,
          toLast.map((comparison) => of(comparison)?.experts[expert] ?? null),
          tolerance,
        ),
      ),
    };
  });
  const settledBy = (index: number) =>
    byLayer.reduce((sum, { experts: all }) => sum + all.filter(({ settled }) => settled <= index).length, 0);
  return {
    checkpoints: captures.map((_, i) => ({
      toFirst: agreement(between(0, i), topK),
      toPrevious: agreement(between(i - 1, i), topK),
      toLast: agreement(toLast[i]!, topK),
      settled: settledBy(i),
    })),
    layers: byLayer,
    tolerance,
    experts: byLayer.reduce((sum, { experts: all }) => sum + all.length, 0),
  };
}

/** First, previous and last with each, every pair once. */
function pairsOf(last: number): [a: number, b: number][] {
  const all = new Map<string, [number, number]>();
  const add = (a: number, b: number) => a < b && all.set(`${a} ${b}`, [a, b]);
  for (let i = 1; i <= last; i++) {
    add(0, i);
    add(i - 1, i);
    add(i, last);
  }
  return [...all.values()];
}

function agreement(found: CaptureComparison | null, topK: number): Agreement | null {
  if (!found) return null;
  const { rows } = found;
  const samples = [...new Set(rows.sample)];
  const units = Math.min(CLUSTER_UNITS, samples.length);
  const unitOf = new Map(samples.map((sample, i) => [sample, i % units]));
  const sums = new Float64Array(units);
  const sizes = new Float64Array(units);
  for (let row = 0; row < rows.length; row++) {
    const unit = unitOf.get(rows.sample[row]!)!;
    sums[unit]! += rows.overlap[row]!;
    sizes[unit]!++;
  }
  const overlap = sums.reduce((sum, value) => sum + value, 0) / rows.length;
  const squares = sums.reduce((sum, value, unit) => sum + (value - overlap * sizes[unit]!) ** 2, 0);
  const layers = [...found.layers.values()];
  return {
    rows: rows.length,
    samples: samples.length,
    exact: found.exact,
    overlap,
    interval: effectiveInterval(overlap, rows.length, samples.length, units, squares, 0.95),
    usageShift:
      layers.reduce(
        (sum, { experts }) => sum + experts.reduce((all, { difference }) => all + Math.abs(difference), 0),
        0,
      ) /
      (2 * topK * layers.length),
    shifted: layers.reduce(
      (sum, { experts }) => sum + experts.filter(({ qValue }) => qValue <= ALPHA).length,
      0,
    ),
  };
}

type Difference = {
  readonly shareA: number;
  readonly shareB: number;
  readonly difference: number;
  readonly halfWidth: number | null;
};

/** @param toLast the expert in the comparison of each capture with the last; `null` for the last itself. */
function settledExpert(
  expert: number,
  toLast: readonly (Difference | null)[],
  tolerance: number,
): SettledExpert {
  const from = (within: (of: Difference) => boolean) =>
    1 + toLast.findLastIndex((of) => of !== null && !within(of));
  const finalShare = toLast[0]!.shareB;
  return {
    expert,
    shares: toLast.map((of) => of?.shareA ?? finalShare),
    halfWidths: toLast.map((of) => (of ? of.halfWidth : 0)),
    settled: from(({ difference }) => Math.abs(difference) <= tolerance),
    surelySettled: from(
      ({ difference, halfWidth }) => Math.abs(difference) + (halfWidth ?? Infinity) <= tolerance,
    ),
  };
}
