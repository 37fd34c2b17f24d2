import { safeText } from "../../../core/safe-text.ts";
import type { CheckpointFacts } from "../../facts/checkpoints.ts";
import { count, percent, plural } from "../../numbers.ts";
import { alignColumns } from "../parts/columns.ts";
import { layerGroups, mean } from "../parts/layer-groups.ts";
import { bold, dim } from "../parts/paint.ts";
import { clip, padLeft, padRight } from "../parts/text.ts";
import type { Terminal } from "../terminal.ts";

/** Captures that a table of layers has columns for; `--json` has all. */
const MAX_COLUMNS = 7;

/** How routing came from the first capture to the last, whole and by layer. */
export function checkpointView(
  { checkpoints, layers, captures, tolerance, experts }: CheckpointFacts,
  names: readonly string[],
  { depth, width }: Terminal,
): string[] {
  const overlap = (of: CheckpointFacts["checkpoints"][number]["toFirst"]) => (of ? percent(of.overlap) : "-");
  const rows = checkpoints.map(({ toFirst, toPrevious, toLast, settled }, i) => [
    `${i}`,
    clip(safeText(names[i]!), 16),
    overlap(toFirst),
    overlap(toPrevious),
    overlap(toLast),
    toLast ? toLast.interval.map((end) => percent(end).replace(" %", "")).join("-") : "",
    toPrevious ? `${toPrevious.shifted}` : "-",
    percent(settled / experts),
  ]);
  const head = ["", "", "first", "before", "last", "95 %", "shifted", "settled"];
  const pads = [padLeft, padRight, padLeft, padLeft, padLeft, padLeft, padLeft, padLeft];
  const compared = checkpoints[0]!.toLast!;
  const { groups, notes } = layerGroups(layers);
  const shown = captures.map((_, i) => i).slice(-MAX_COLUMNS - 1, -1);
  const byLayer = groups.map(({ name, members }) => [
    name,
    ...shown.map((i) => percent(mean(members.map(({ overlapWithLast }) => overlapWithLast[i]!)))),
  ]);
  const line = (text: string) => clip(`  ${text}`.trimEnd(), width);
  return [
    bold(depth, `${plural(captures.length, "capture")} in order: experts in common`),
    ...alignColumns([head, ...rows], pads).map((text, i) => (i === 0 ? dim(depth, line(text)) : line(text))),
    dim(
      depth,
      line(
        `of ${count(compared.rows)} tokens of ${plural(compared.samples, "text")}; 95 %: of the overlap with the last`,
      ),
    ),
    dim(depth, line("shifted: experts used otherwise than in the capture before, q ≤ 0.05")),
    dim(depth, line(`settled: experts whose share stays within ${percent(tolerance)} of their last one`)),
    "",
    bold(depth, "Experts in common with the last, by layer"),
    ...alignColumns(
      [["", ...shown.map((i) => `${i}`)], ...byLayer],
      [padRight, ...shown.map(() => padLeft)],
    ).map((text, i) => (i === 0 ? dim(depth, line(text)) : line(text))),
    ...notes.map((note) => dim(depth, line(note))),
    dim(depth, "Next: add --json   shares of every expert, and when each settled"),
  ];
}
