import type { PruneCandidate, PruneCandidates } from "../../advice/prune-candidates.ts";
import type { Capture } from "../../capture/capture.ts";
import { count, percent, plural } from "../../view/numbers.ts";
import { safeText } from "../../view/safe-text.ts";
import type { Terminal } from "../terminal.ts";
import { header } from "./header.ts";
import { bold, dim } from "./paint.ts";
import { clip, displayWidth, padLeft, padRight, wrap } from "./text.ts";

const HEADINGS = ["", "tokens", "share", "weight", "95 % interval", "most needed by"];

/** The experts that carry least, the least first. */
export function pruneView(
  capture: Capture,
  { experts, rows, samples, evenShare, weighted }: PruneCandidates,
  limit: number,
  terminal: Terminal,
): string[] {
  const { depth, width } = terminal;
  const shown = experts.slice(0, limit);
  const labelled = shown.some(({ mostNeededBy }) => mostNeededBy.label !== null);
  const cells = [HEADINGS, ...shown.map(cellsOf)].map((row) => (labelled ? row : row.slice(0, -1)));
  const widths = cells[0]!.map((_, i) => Math.max(...cells.map((row) => displayWidth(row[i]!))));
  const lines = cells.map((row) =>
    row
      .map((cell, i) => (i === 0 || i === 5 ? padRight : padLeft)(cell, widths[i]!))
      .join("   ")
      .trimEnd(),
  );
  const rest = experts.length - shown.length;
  return [
    ...header(capture.model, capture.engine.kind, terminal),
    "",
    bold(depth, `Experts that carry least routing weight (even: ${percent(evenShare)} of a layer's)`),
    dim(depth, clip(`  ${lines[0]}`, width)),
    ...lines.slice(1).map((line) => clip(`  ${line}`, width)),
    ...(rest > 0 ? [dim(depth, `  … ${plural(rest, "more expert")}: --limit, or --json for all`)] : []),
    "",
    ...wrap(
      `Measured on ${count(rows)} tokens of ${plural(samples, "sample")}${
        weighted ? "" : "; weights were not captured, every choice counts the same"
      }. Share: of the tokens, that used it. Weight: of its layer's routing weight; the interval takes a text as one ` +
        "observation.",
      width,
    ).map((line) => dim(depth, line)),
    ...wrap(
      "Rarely used is not useless: an expert may be all a rare task has. Prune only what an evaluation of the pruned " +
        "model on your tasks allows. REAP (arXiv:2510.13999) also weighs by the norm of the experts' outputs.",
      width,
    ),
  ];
}

function cellsOf({
  layer,
  expert,
  count: n,
  share,
  weightShare,
  weightInterval,
  mostNeededBy,
}: PruneCandidate) {
  return [
    `L${layer} E${expert}`,
    count(n),
    percent(share),
    percent(weightShare),
    weightInterval.map(percent).join(" to "),
    mostNeededBy.weightShare === 0
      ? "nobody here"
      : `${clip(safeText(mostNeededBy.label ?? "no label"), 16)} ${percent(mostNeededBy.weightShare)}`,
  ];
}
