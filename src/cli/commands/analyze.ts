import { analyzeCapture } from "../../analysis/analyze.ts";
import { openCapture } from "../../capture/folder/folder-source.ts";
import { given } from "../../core/given.ts";
import { analysisView } from "../../views/terminal/analysis/analysis.ts";
import type { CommandContext } from "../command.ts";

/** The options of `moescope analyze`, parsed. */
export interface AnalyzeFlags {
  readonly label?: readonly string[];
  readonly layer?: readonly number[];
  readonly threads?: number;
  readonly permutations?: number;
  readonly seed?: number;
  readonly json?: boolean;
}

/** `moescope analyze DIR`. */
export async function analyze(
  folder: string,
  { label, layer, json, ...tests }: AnalyzeFlags,
  { output, signal }: CommandContext,
): Promise<void> {
  const capture = await openCapture(folder);
  const progress = output.progress();
  const analysis = await analyzeCapture(capture, {
    ...(label && { labels: label }),
    ...(layer && { layers: layer }),
    ...given(tests),
    signal,
    onProgress: ({ done, total }) => progress.update("Analysing", done, total, "parts"),
  }).finally(() => progress.done());
  if (json) output.print(JSON.stringify(analysis));
  else output.print(analysisView(analysis, folder, output.terminal));
}
