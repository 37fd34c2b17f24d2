import { openCapture } from "../../capture/folder/folder-source.ts";
import { given } from "../../core/given.ts";
import { analysisSummary } from "../../views/facts/analysis-summary.ts";
import { analysisView } from "../../views/terminal/analysis/analysis.ts";
import type { CommandContext } from "../command.ts";
import { analyzeKept } from "../kept.ts";
import { UsageError } from "../usage-error.ts";

/** The options of `moescope analyze`, parsed. */
export interface AnalyzeFlags {
  readonly label?: readonly string[];
  readonly layer?: readonly number[];
  readonly threads?: number;
  readonly permutations?: number;
  readonly seed?: number;
  readonly cache: boolean;
  readonly json?: boolean;
  readonly full?: boolean;
}

/** `moescope analyze DIR`. */
export async function analyze(
  folder: string,
  { label, layer, json, full, cache, ...tests }: AnalyzeFlags,
  context: CommandContext,
): Promise<void> {
  if (full && !json) throw new UsageError("--full is for --json: it prints every number");
  const capture = await openCapture(folder);
  const options = { ...(label && { labels: label }), ...(layer && { layers: layer }), ...given(tests) };
  const analysis = await analyzeKept(capture, options, cache, context);
  const { print, terminal } = context.output;
  if (json) print(JSON.stringify(full ? analysis : analysisSummary(analysis)));
  else print(analysisView(analysis, folder, terminal));
}
