import { ranges } from "../../../core/plan.ts";
import { safeText } from "../../../core/safe-text.ts";
import { notFinite } from "../../evidence.ts";
import type { CaptureAnalysis } from "../../facts/analysis.ts";
import { count, plural } from "../../numbers.ts";
import { bold, dim } from "../parts/paint.ts";
import { clip, wrap } from "../parts/text.ts";
import type { Terminal } from "../terminal.ts";

/** Reasons listed for rows that are missing. */
const MAX_REASONS = 3;

/** What was analysed, and what is missing and why. */
export function completenessView(
  { completeness: of, layers }: CaptureAnalysis,
  { width, depth }: Terminal,
): string[] {
  const phases = of.generatedRows > 0 ? ` (${count(of.generatedRows)} generated)` : "";
  const samples =
    of.samplesWithRows === of.samples
      ? plural(of.samples, "sample")
      : `${count(of.samplesWithRows)} of ${plural(of.samples, "sample")}`;
  const lines = [
    `Analysed ${plural(of.rows, "token")}${phases} of ${samples} in ${plural(layers.length, "MoE layer")}`,
  ];
  if (!of.complete) lines.push(bold(depth, "The run did not come to its end: rows are missing"));
  if (of.promptTokensWithoutRow > 0)
    lines.push(`Without a row: ${plural(of.promptTokensWithoutRow, "prompt token")} of these samples`);
  const reasons = new Map<string, number>();
  for (const { why } of of.missing) reasons.set(why, (reasons.get(why) ?? 0) + 1);
  for (const [why, n] of [...reasons].slice(0, MAX_REASONS))
    lines.push(clip(`Missing: rows of ${plural(n, "sample")}: ${safeText(why)}`, width));
  const broken = notFinite(layers);
  for (const line of broken ? wrap(broken, width) : []) lines.push(bold(depth, line));
  if (of.layersWithoutRows.length > 0)
    lines.push(dim(depth, clip(`Left out: layers ${ranges(of.layersWithoutRows)}`, width)));
  return lines;
}
