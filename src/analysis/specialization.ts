import type { Capture } from "../capture/capture.ts";
import { checkCapture } from "../capture/check-capture.ts";
import { RequestError } from "../core/errors.ts";
import { oneOf, optionsReader, whole } from "../core/options.ts";
import { rowUnits, unitsOfRows } from "./measures/tallies/row-units.ts";
import { addSampleRows, sampleUnits, startSampleCounts } from "./measures/tallies/sample-counts.ts";
import { routedLayers } from "./rows/chosen.ts";
import { labelledSamples } from "./rows/label-groups.ts";
import { talliedLayers } from "./scan/tallied-layers.ts";
import { benjaminiHochberg } from "./statistics/benjamini-hochberg.ts";
import { type LayerTest, testLayer } from "./statistics/randomization/permutation-test.ts";
import type { Units } from "./statistics/randomization/units.ts";

export interface SpecializationOptions {
  /**
   * What keeps its label together in the permutations. Default `sample`: tokens of one text resemble each other, so
   * a text counts as one observation, however long. `row` takes every token as an observation of its own; with
   * more than one row a sample its p-values are far too small. It is right for captures of one row a sample
   * (`select: { last: 1 }`) and for tokens that were drawn independently.
   */
  readonly unit?: "sample" | "row";
  /**
   * Random permutations. Default 4999: p-values down to 0.0002, which leaves room for the correction over many experts.
   * A hundred texts take about 0.1 s per layer of 16 experts, 1 s per layer of 128.
   */
  readonly permutations?: number;
  /** Same seed, same p-values. Default 0. */
  readonly seed?: number;
}

/** An expert among the rows of one label. */
export interface LabelShare {
  /** Rows of the label that used the expert. */
  readonly count: number;
  /** ... as part of the label's rows. */
  readonly share: number;
  /** How often permuted labels give as much or more. */
  readonly pValue: number;
  /** Benjamini-Hochberg over all layers, experts and labels of the call. */
  readonly qValue: number;
}

export interface ExpertSpecialization {
  readonly expert: number;
  /** Mutual information of (row used this expert, label), in bits. */
  readonly mutualInformation: number;
  /** The same with permuted labels, on average: the part that means nothing. */
  readonly chanceInformation: number;
  readonly pValue: number;
  /** Benjamini-Hochberg over all layers and experts of the call. */
  readonly qValue: number;
  readonly byLabel: ReadonlyMap<string, LabelShare>;
}

export interface LayerSpecialization {
  /** Mutual information of (expert, label) over all choices of the layer, in bits; at most log2(labels). */
  readonly mutualInformation: number;
  readonly chanceInformation: number;
  readonly pValue: number;
  /** One entry per expert, in order. */
  readonly experts: readonly ExpertSpecialization[];
}

export interface Specialization {
  /** In order of first appearance. Samples without a label are left out. */
  readonly labels: readonly string[];
  /** Part of any rows that an expert serves when all serve alike: topK / experts. */
  readonly fairShare: number;
  /** By 0-based layer. */
  readonly layers: ReadonlyMap<number, LayerSpecialization>;
}

const readOptions = optionsReader<SpecializationOptions>("specialization", {
  unit: oneOf(["sample", "row"]),
  permutations: whole(1),
  seed: whole(0, 0xffffffff),
});

/**
 * Which experts serve which label, and whether that is more than chance.
 *
 * The null hypothesis: a sample's label has nothing to do with its routing. Then labels can be swapped between samples
 * without anyone noticing; the p-value is how often such a swap gives as strong a relation as the real labels. With n
 * samples a label, there are only so many swaps: two labels with three texts each never get below p = 0.1.
 *
 * Time grows with permutations x layers x (samples + labels) x experts used; one layer is in memory at a time.
 *
 * @throws RequestError `INVALID_ARGUMENT` when fewer than two labels have rows, or for a wrong option.
 * @example
 * const capture = await llm.capture([
 *   { prompt: "2 + 2 = 4", label: "math" },
 *   { prompt: "def add(a, b):", label: "code" }, // and more of each
 * ]);
 * const { mutualInformation, qValue } = specialization(capture).layers.get(3)!.experts[2]!;
 */
export function specialization(capture: Capture, options: SpecializationOptions = {}): Specialization {
  checkCapture("specialization", "capture", capture);
  const { unit = "sample", permutations = 4999, seed = 0 } = readOptions(options);
  const { experts, topK } = capture.model.moe ?? { experts: 0, topK: 0 };
  const { labels, labelOfSample } = labelledSamples(capture.samples, capture.rows.sample);
  const layers = routedLayers(capture);
  if (layers.length > 0 && labels.length < 2)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `specialization compares labels, and the rows of this capture have ${labels.length}; give prompts as ` +
        "{ prompt, label } with at least two labels",
    );
  const test = (units: Units) => testLayer(units, labels.length, experts, permutations, seed);
  const tests =
    unit === "sample"
      ? talliedLayers(capture, layers, sampleCounts, (counts) => test(sampleUnits(counts, labelOfSample)))
      : talliedLayers(capture, layers, rowUnits(labelOfSample), (rows) => test(unitsOfRows(rows)));
  return {
    labels,
    fairShare: experts === 0 ? 0 : topK / experts,
    layers: assemble(layers, labels, [...tests.values()]),
  };
}

const sampleCounts = { start: startSampleCounts, take: addSampleRows };

/** Tests by layer as a reader wants them: by expert and label, with q-values over everything that was tested. */
function assemble(layers: readonly number[], labels: readonly string[], tests: readonly LayerTest[]) {
  const expertQ = benjaminiHochberg(tests.flatMap(({ experts }) => [...experts.pValues]));
  const shareQ = benjaminiHochberg(tests.flatMap(({ shares }) => [...shares.pValues]));
  return new Map<number, LayerSpecialization>(
    layers.map((layer, t) => {
      const { counts, layer: whole, experts, shares } = tests[t]!;
      const width = experts.observed.length;
      const labelShare = (at: number): LabelShare => ({
        count: counts[at]!,
        share: shares.observed[at]!,
        pValue: shares.pValues[at]!,
        qValue: shareQ[t * counts.length + at]!,
      });
      return [
        layer,
        {
          mutualInformation: whole.observed[0]!,
          chanceInformation: whole.chance[0]!,
          pValue: whole.pValues[0]!,
          experts: Array.from(experts.observed, (mutualInformation, expert) => ({
            expert,
            mutualInformation,
            chanceInformation: experts.chance[expert]!,
            pValue: experts.pValues[expert]!,
            qValue: expertQ[t * width + expert]!,
            byLabel: new Map(labels.map((label, l) => [label, labelShare(l * width + expert)])),
          })),
        },
      ];
    }),
  );
}
