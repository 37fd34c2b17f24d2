import type { Capture } from "../../capture/capture.ts";
import { checkCapture } from "../../capture/check-capture.ts";
import { RequestError } from "../../core/errors.ts";
import { argument, optionsReader, text, whole } from "../../core/options.ts";
import { matchedSamples, sampleTally, sampleUnits } from "../measures/tallies/sample-counts.ts";
import { routedLayers } from "../rows/chosen.ts";
import { labelledSamples } from "../rows/label-groups.ts";
import { columnsOf } from "../rows/row-columns.ts";
import { matchedPositions } from "../rows/row-groups.ts";
import { allAtOnce, type Steps } from "../scan/steps.ts";
import { eachTallied } from "../scan/tallied-layers.ts";
import { labelInformation } from "../statistics/randomization/label-information.ts";
import { testLabels } from "../statistics/randomization/label-test.ts";
import { leastLabelQ } from "../statistics/randomization/least-q.ts";
import { correctedTogether } from "../statistics/randomization/max-t.ts";
import { DEFAULT_PERMUTATIONS } from "../statistics/randomization/random.ts";
import { type UsageShift, usageShifts } from "./usage-shift.ts";

/** How two labels use one layer. */
export interface LayerLabelComparison {
  /** Mutual information of (expert, label) over all choices, in bits; at most 1. */
  readonly mutualInformation: number;
  /** The same with permuted labels, on average: the part that means nothing. */
  readonly chanceInformation: number;
  readonly pValue: number;
  /** Corrected for all layers. */
  readonly qValue: number;
  /** One entry per expert, in order; A and B are the labels. */
  readonly experts: readonly UsageShift[];
}

/** How the usage of experts differs between two labels of a capture: what {@link compareLabels} gives. */
export interface LabelComparison {
  readonly labels: readonly [a: string, b: string];
  /** Samples of each label; what the significance rests on. */
  readonly samples: readonly [a: number, b: number];
  readonly rows: readonly [a: number, b: number];
  /** Rows at positions that both labels have: what is tested. */
  readonly matchedRows: number;
  /** The least q-value that any expert could have with so many samples. Above 0.05 no result is possible. */
  readonly leastQ: number;
  /** By 0-based layer. */
  readonly layers: ReadonlyMap<number, LayerLabelComparison>;
}

/** How {@link compareLabels} tests. */
export interface CompareLabelsOptions {
  /** Random permutations of the labels between samples. Default 1999: p-values down to 0.0005. */
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
 * compares usage alone; the p-values come from swapping labels between samples, at the same positions, as in
 * {@link specialization}, and are two-sided.
 *
 * @throws RequestError `INVALID_ARGUMENT` when a label has no rows or both are the same, or for a wrong option.
 * @example
 * import { compareLabels, largestShifts } from "moescope/analysis";
 * const shifts = largestShifts(compareLabels(capture, "math", "code"), { alpha: 0.05 });
 */
export function compareLabels(
  capture: Capture,
  labelA: string,
  labelB: string,
  options: CompareLabelsOptions = {},
): LabelComparison {
  return allAtOnce(labelComparison(capture, labelA, labelB, options));
}

/** {@link compareLabels}, a layer a step. */
export function* labelComparison(
  capture: Capture,
  labelA: string,
  labelB: string,
  options: CompareLabelsOptions = {},
): Steps<LabelComparison> {
  checkCapture("compareLabels", "capture", capture);
  argument("compareLabels", "the first label", labelA, text);
  argument("compareLabels", "the second label", labelB, text);
  const { permutations = DEFAULT_PERMUTATIONS, seed = 0 } = readOptions(options);
  const pair = pairOf(capture, labelA, labelB);
  const layers = routedLayers(capture);
  const experts = capture.model.moe?.experts ?? 0;
  const positions = matchedPositions(columnsOf(capture), pair, 2);
  const found = yield* eachTallied(capture, layers, sampleTally(positions), (state) => {
    const test = testLabels(matchedSamples(state, pair), 2, experts, permutations, seed);
    return { ...test, found: labelInformation(sampleUnits(state, pair), 2, experts, permutations, seed) };
  });
  const tests = [...found.values()];
  const shifts = usageShifts(
    tests.map(({ found: { counts, rows }, experts: tested, differences, halfWidths }) => ({
      countsA: counts.subarray(0, experts),
      countsB: counts.subarray(experts),
      rowsA: rows[0]!,
      rowsB: rows[1]!,
      // Of the second label less the first.
      matched: differences.subarray(experts),
      halfWidths: halfWidths.subarray(experts),
      tested,
    })),
  );
  const layerQ = correctedTogether(tests.map(({ layer }) => layer));
  const bySide = (samples: Iterable<number>) => {
    const sides = [...samples].map((sample) => pair[sample]);
    return [0, 1].map((side) => sides.filter((other) => other === side).length) as [number, number];
  };
  const samples = bySide(new Set(capture.rows.sample));
  return {
    labels: [labelA, labelB],
    samples,
    matchedRows: positions.rows,
    leastQ: leastLabelQ(samples, permutations),
    rows: bySide(capture.rows.sample),
    layers: new Map(
      tests.map(({ layer, found: { layer: information } }, i) => [
        layers[i]!,
        {
          mutualInformation: information.observed,
          chanceInformation: information.chance,
          pValue: layer.pValues[0]!,
          qValue: layerQ[i]![0]!,
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
