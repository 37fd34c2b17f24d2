import type { Capture } from "../../capture/capture.ts";
import { checkCapture } from "../../capture/check-capture.ts";
import { RequestError } from "../../core/errors.ts";
import { argument, optionsReader, text, whole } from "../../core/options.ts";
import { addSampleRows, sampleUnits, startSampleCounts } from "../measures/tallies/sample-counts.ts";
import { routedLayers } from "../rows/chosen.ts";
import { labelledSamples } from "../rows/label-groups.ts";
import { talliedLayers } from "../scan/tallied-layers.ts";
import { testLayer } from "../statistics/randomization/permutation-test.ts";
import { type UsageShift, usageShifts } from "./usage-shift.ts";

/** How two labels use one layer. */
export interface LayerLabelComparison {
  /** Mutual information of (expert, label) over all choices, in bits; at most 1. */
  readonly mutualInformation: number;
  /** The same with permuted labels, on average: the part that means nothing. */
  readonly chanceInformation: number;
  readonly pValue: number;
  /** One entry per expert, in order; A and B are the labels. */
  readonly experts: readonly UsageShift[];
}

export interface LabelComparison {
  readonly labels: readonly [a: string, b: string];
  /** Samples of each label; what the significance rests on. */
  readonly samples: readonly [a: number, b: number];
  readonly rows: readonly [a: number, b: number];
  /** By 0-based layer. */
  readonly layers: ReadonlyMap<number, LayerLabelComparison>;
}

export interface CompareLabelsOptions {
  /** Random permutations of the labels between samples. Default 4999: p-values down to 0.0002. */
  readonly permutations?: number;
  /** Same seed, same p-values. Default 0. */
  readonly seed?: number;
}

const readOptions = optionsReader<CompareLabelsOptions>("compareLabels", {
  permutations: whole(1),
  seed: whole(0, 0xffffffff),
});

/**
 * Compare how the samples of two labels use the experts. Their rows are different tokens and cannot be paired, so this
 * compares usage alone; the p-values come from swapping labels between samples, as in {@link specialization}, and are
 * two-sided (mutual information of use and label).
 *
 * @throws RequestError `INVALID_ARGUMENT` when a label has no rows or both are the same, or for a wrong option.
 * @example
 * const shifts = largestShifts(compareLabels(capture, "math", "code"), { alpha: 0.05 });
 */
export function compareLabels(
  capture: Capture,
  labelA: string,
  labelB: string,
  options: CompareLabelsOptions = {},
): LabelComparison {
  checkCapture("compareLabels", "capture", capture);
  argument("compareLabels", "the first label", labelA, text);
  argument("compareLabels", "the second label", labelB, text);
  const { permutations = 4999, seed = 0 } = readOptions(options);
  const pair = pairOf(capture, labelA, labelB);
  const layers = routedLayers(capture);
  const experts = capture.model.moe?.experts ?? 0;
  const counts = { start: startSampleCounts, take: addSampleRows };
  const found = talliedLayers(capture, layers, counts, (state) =>
    testLayer(sampleUnits(state, pair), 2, experts, permutations, seed),
  );
  const tests = [...found.values()];
  const shifts = usageShifts(
    tests.map(({ counts, rows, experts: { pValues } }) => ({
      countsA: counts.subarray(0, experts),
      countsB: counts.subarray(experts),
      rowsA: rows[0]!,
      rowsB: rows[1]!,
      pValues,
    })),
  );
  const bySide = (samples: Iterable<number>) => {
    const sides = [...samples].map((sample) => pair[sample]);
    return [0, 1].map((side) => sides.filter((other) => other === side).length) as [number, number];
  };
  return {
    labels: [labelA, labelB],
    samples: bySide(new Set(capture.rows.sample)),
    rows: bySide(capture.rows.sample),
    layers: new Map(
      tests.map(({ layer }, i) => [
        layers[i]!,
        {
          mutualInformation: layer.observed[0]!,
          chanceInformation: layer.chance[0]!,
          pValue: layer.pValues[0]!,
          experts: shifts[i]!,
        },
      ]),
    ),
  };
}

/** By sample: 0 for the first label, 1 for the second, -1 for any other. */
function pairOf(capture: Capture, labelA: string, labelB: string): Int32Array {
  const { labels, labelOfSample } = labelledSamples(capture.samples, capture.rows.sample);
  const refuse = (message: string): never => {
    throw new RequestError("INVALID_ARGUMENT", message);
  };
  if (labelA === labelB) refuse(`"${labelA}" is given twice; name two labels`);
  for (const label of [labelA, labelB])
    if (!labels.includes(label))
      refuse(
        `no rows have the label "${label}"; ` +
          (labels.length > 0 ? `the labels are ${labels.join(", ")}` : "this capture has no labels"),
      );
  const pair = [labelA, labelB].map((label) => labels.indexOf(label));
  return labelOfSample.map((label) => pair.indexOf(label));
}
