import { type AnalyzeOptions, analyzeCapture } from "../../analysis/analyze.ts";
import type { CaptureAnalysis } from "../../analysis/capture-analysis.ts";
import { type KeptFacts, keptFacts } from "../../analysis/kept/kept-facts.ts";
import { allMeasures } from "../../analysis/measures/registry.ts";
import { DEFAULT_PERMUTATIONS } from "../../analysis/statistics/randomization/random.ts";
import type { Capture } from "../../capture/capture.ts";
import { analysisFacts } from "./analysis.ts";

/** Of an analysis by all measures; see `analyzeCapture`. */
export type AnalysisOptions = Omit<AnalyzeOptions, "measures" | "texts">;

/**
 * The analysis of a capture by all measures, from the folder where it was made before; see `keptFacts`.
 *
 * @param keep `false`: computed in any case, and not kept.
 */
export async function keptAnalysis(
  capture: Capture,
  options: AnalysisOptions = {},
  keep = true,
): Promise<KeptFacts<CaptureAnalysis>> {
  const { layers = null, labels = null, permutations = DEFAULT_PERMUTATIONS, seed = 0 } = options;
  const measures = allMeasures.map(({ name }) => name);
  const question = {
    captures: [capture] as const,
    asked: { question: "analysis", measures, layers, labels, permutations, seed },
    // Its type comes from the measures, its schema from their registry: TypeScript does not see that they agree.
    schema: analysisFacts as () => never,
  };
  return keptFacts<CaptureAnalysis>(question, () => analyzeCapture(capture, options), keep);
}
