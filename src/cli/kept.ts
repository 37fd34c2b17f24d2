import type { CaptureAnalysis } from "../analysis/capture-analysis.ts";
import type { KeptFacts } from "../analysis/kept/kept-facts.ts";
import type { StepProgress } from "../analysis/scan/steps.ts";
import type { Capture } from "../capture/capture.ts";
import { type AnalysisOptions, keptAnalysis } from "../views/facts/kept-analysis.ts";
import type { CommandContext } from "./command.ts";

/** The analysis of a capture, with progress, from the folder where it was made before; see `keptAnalysis`. */
export const analyzeKept = (
  capture: Capture,
  options: AnalysisOptions,
  keep: boolean,
  context: CommandContext,
): Promise<CaptureAnalysis> =>
  withProgress("Analysing", context, (steps) => keptAnalysis(capture, { ...options, ...steps }, keep));

interface Steps {
  readonly signal: AbortSignal;
  readonly onProgress: (progress: StepProgress) => void;
}

/** Facts that take their time: a line shows how far they are, Ctrl-C ends it, and a remark says if they were kept. */
export async function withProgress<T>(
  what: string,
  { output, signal }: CommandContext,
  find: (steps: Steps) => Promise<KeptFacts<T>>,
): Promise<T> {
  const progress = output.progress();
  const onProgress: Steps["onProgress"] = ({ done, total }) => progress.update(what, done, total, "parts");
  const { facts, kept } = await find({ signal, onProgress }).finally(() => progress.done());
  if (kept)
    output.note(
      "These facts were kept in the folder when they were computed; --no-cache computes them again.",
    );
  return facts;
}
