import type { Capture } from "../capture/capture.ts";
import { checkCapture } from "../capture/check-capture.ts";
import { RequestError } from "../core/errors.ts";
import { oneOf, optionsReader, whole } from "../core/options.ts";
import { matchedRows, rowUnits, unitsOfRows } from "./measures/tallies/row-units.ts";
import { matchedSamples, sampleTally, sampleUnits } from "./measures/tallies/sample-counts.ts";
import { routedLayers } from "./rows/chosen.ts";
import { labelledSamples } from "./rows/label-groups.ts";
import { columnsOf } from "./rows/row-columns.ts";
import { matchedPositions } from "./rows/row-groups.ts";
import { talliedLayers } from "./scan/tallied-layers.ts";
import { type LabelInformation, labelInformation } from "./statistics/randomization/label-information.ts";
import { type LabelTest, testLabels } from "./statistics/randomization/label-test.ts";
import { leastLabelQ } from "./statistics/randomization/least-q.ts";
import type { MatchedUnits } from "./statistics/randomization/matched-units.ts";
import { correctedTogether } from "./statistics/randomization/max-t.ts";
import { DEFAULT_PERMUTATIONS } from "./statistics/randomization/random.ts";
import type { Units } from "./statistics/randomization/units.ts";

/** How {@link specialization} tests. */
export interface SpecializationOptions {
  /**
   * What keeps its label together in the permutations. Default `sample`: tokens of one text resemble each other, so
   * a text counts as one observation, however long. `row` takes every token as an observation of its own; with
   * more than one row a sample its p-values are far too small. It is right for captures of one row a sample
   * (`select: { last: 1 }`) and for tokens that were drawn independently.
   */
  readonly unit?: "sample" | "row";
  /**
   * Random permutations. Default 1999: p-values and q-values down to 0.0005, however many experts there are.
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
  /** Share of the label less that of all other labels, at the same positions of their texts: what is tested. */
  readonly difference: number;
  /** Its 95 % interval reaches so far to both sides, a unit as one observation; `null` with fewer than two a side. */
  readonly halfWidth: number | null;
  /** How often permuted labels give as much more than the others, studentised; see `testLabels`. */
  readonly pValue: number;
  /** Corrected for all layers, experts and labels of the call, see `correctedTogether`. */
  readonly qValue: number;
}

/** How much the use of one expert says about the label of a row. */
export interface ExpertSpecialization {
  readonly expert: number;
  /** Mutual information of (row used this expert, label), in bits. */
  readonly mutualInformation: number;
  /** The same with permuted labels, on average: the part that means nothing. */
  readonly chanceInformation: number;
  /** Of the label whose difference from the others is clearest, whatever its sign. */
  readonly pValue: number;
  /** Corrected for all layers and experts of the call. */
  readonly qValue: number;
  readonly byLabel: ReadonlyMap<string, LabelShare>;
}

/** How much the experts of a layer say about the labels of the rows. */
export interface LayerSpecialization {
  /** Mutual information of (expert, label) over all choices of the layer, in bits; at most log2(labels). */
  readonly mutualInformation: number;
  readonly chanceInformation: number;
  /** Of the differences of all labels and experts together. */
  readonly pValue: number;
  /** Corrected for all layers of the call. */
  readonly qValue: number;
  /** One entry per expert, in order. */
  readonly experts: readonly ExpertSpecialization[];
}

/** Which experts prefer which labels, with p-values: what {@link specialization} gives. */
export interface Specialization {
  /** In order of first appearance. Samples without a label are left out. */
  readonly labels: readonly string[];
  /** Part of any rows that an expert serves when all serve alike: topK / experts. */
  readonly fairShare: number;
  /** The least q-value that any share could have with so many units. Above 0.05 no result is possible. */
  readonly leastQ: number;
  /** Rows at positions that at least two labels have: what is compared. */
  readonly matchedRows: number;
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
 * The null hypothesis: a sample's label has nothing to do with how its tokens are routed beyond their positions. Labels
 * are swapped between samples; the p-value is how often that gives as clear a difference as the real labels, measured
 * against the spread of the samples, so that texts of unequal length are no finding. There are only so many swaps: two
 * labels with three texts each never get below q = 0.1.
 *
 * Time grows with permutations x layers x (samples + labels) x experts used; one layer is in memory at a time.
 *
 * @throws RequestError `INVALID_ARGUMENT` when fewer than two labels have rows, or for a wrong option.
 * @example
 * import { specialization } from "moescope/analysis";
 * const capture = await llm.capture([
 *   { prompt: "2 + 2 = 4", label: "math" },
 *   { prompt: "def add(a, b):", label: "code" }, // and more of each
 * ]);
 * const { mutualInformation, qValue } = specialization(capture).layers.get(3)!.experts[2]!;
 */
export function specialization(capture: Capture, options: SpecializationOptions = {}): Specialization {
  checkCapture("specialization", "capture", capture);
  const { unit = "sample", permutations = DEFAULT_PERMUTATIONS, seed = 0 } = readOptions(options);
  const { experts, topK } = capture.model.moe ?? { experts: 0, topK: 0 };
  const { labels, labelOfSample } = labelledSamples(capture.samples, capture.rows.sample);
  const layers = routedLayers(capture);
  if (layers.length > 0 && labels.length < 2)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `specialization compares labels, and the rows of this capture have ${labels.length}; give prompts as ` +
        "{ prompt, label } with at least two labels",
    );
  const positions = matchedPositions(columnsOf(capture), labelOfSample, labels.length);
  const test = (units: Units, matched: MatchedUnits): TestedLayer => ({
    ...testLabels(matched, labels.length, experts, permutations, seed),
    information: labelInformation(units, labels.length, experts, permutations, seed),
    units: labels.map((_, l) => units.label.filter((of) => of === l).length),
  });
  const found =
    unit === "sample"
      ? talliedLayers(capture, layers, sampleTally(positions), (counts) =>
          test(sampleUnits(counts, labelOfSample), matchedSamples(counts, labelOfSample)),
        )
      : talliedLayers(capture, layers, rowUnits(labelOfSample, positions), (rows) =>
          test(unitsOfRows(rows), matchedRows(rows, experts, positions)),
        );
  const tests = [...found.values()];
  return {
    labels,
    fairShare: experts === 0 ? 0 : topK / experts,
    leastQ: leastLabelQ(tests[0]?.units ?? [], permutations),
    matchedRows: positions.rows,
    layers: assemble(layers, labels, tests),
  };
}

interface TestedLayer extends LabelTest {
  readonly information: LabelInformation;
  /** By label. */
  readonly units: readonly number[];
}

/** Tests by layer as a reader wants them: by expert and label, with q-values over everything that was tested. */
function assemble(layers: readonly number[], labels: readonly string[], tests: readonly TestedLayer[]) {
  const layerQ = correctedTogether(tests.map(({ layer }) => layer));
  const expertQ = correctedTogether(tests.map(({ experts }) => experts));
  const shareQ = correctedTogether(tests.map(({ shares }) => shares));
  return new Map<number, LayerSpecialization>(
    layers.map((layer, t) => {
      const { information, layer: whole, experts, shares, differences, halfWidths } = tests[t]!;
      const width = experts.observed.length;
      const labelShare = (at: number): LabelShare => ({
        count: information.counts[at]!,
        share: information.counts[at]! / information.rows[Math.floor(at / width)]!,
        difference: differences[at]!,
        halfWidth: Number.isFinite(halfWidths[at]!) ? halfWidths[at]! : null,
        pValue: shares.pValues[at]!,
        qValue: shareQ[t]![at]!,
      });
      return [
        layer,
        {
          mutualInformation: information.layer.observed,
          chanceInformation: information.layer.chance,
          pValue: whole.pValues[0]!,
          qValue: layerQ[t]![0]!,
          experts: Array.from(information.experts.observed, (mutualInformation, expert) => ({
            expert,
            mutualInformation,
            chanceInformation: information.experts.chance[expert]!,
            pValue: experts.pValues[expert]!,
            qValue: expertQ[t]![expert]!,
            byLabel: new Map(labels.map((label, l) => [label, labelShare(l * width + expert)])),
          })),
        },
      ];
    }),
  );
}
