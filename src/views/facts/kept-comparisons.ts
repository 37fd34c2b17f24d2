import { captureComparison } from "../../analysis/compare/compare-captures.ts";
import { labelComparison } from "../../analysis/compare/compare-labels.ts";
import { type KeptFacts, keptFacts } from "../../analysis/kept/kept-facts.ts";
import { type StepOptions, stepByStep } from "../../analysis/scan/steps.ts";
import { DEFAULT_PERMUTATIONS } from "../../analysis/statistics/randomization/random.ts";
import type { Capture } from "../../capture/capture.ts";
import { type ComparisonFacts, comparisonFacts, comparisonOf } from "./comparison.ts";
import { type LabelComparisonFacts, labelComparisonFacts, labelComparisonOf } from "./label-comparison.ts";

interface Options extends StepOptions {
  readonly permutations?: number;
  readonly seed?: number;
}

/**
 * What `compareCaptures` finds, from the folder of A where it was compared before; see `keptFacts`.
 *
 * @param tokens whether every compared token is among the facts.
 * @param keep `false`: computed in any case, and not kept.
 */
export function keptComparison(
  a: Capture,
  b: Capture,
  tokens: boolean,
  { permutations = DEFAULT_PERMUTATIONS, seed = 0, ...steps }: Options = {},
  keep = true,
): Promise<KeptFacts<ComparisonFacts>> {
  return keptFacts(
    {
      captures: [a, b],
      asked: { question: "comparison", tokens, permutations, seed },
      schema: comparisonFacts,
    },
    async () =>
      comparisonOf(a, b, await stepByStep(captureComparison(a, b, { permutations, seed }), steps), {
        tokens,
      }),
    keep,
  );
}

/** What `compareLabels` finds; as {@link keptComparison}. */
export function keptLabelComparison(
  capture: Capture,
  [labelA, labelB]: readonly [string, string],
  { permutations = DEFAULT_PERMUTATIONS, seed = 0, ...steps }: Options = {},
  keep = true,
): Promise<KeptFacts<LabelComparisonFacts>> {
  return keptFacts(
    {
      captures: [capture],
      asked: { question: "label comparison", labelA, labelB, permutations, seed },
      schema: labelComparisonFacts,
    },
    async () => {
      const found = labelComparison(capture, labelA, labelB, { permutations, seed });
      return labelComparisonOf(capture, await stepByStep(found, steps));
    },
    keep,
  );
}
