import { largest } from "../../core/extremes.ts";
import { safeText } from "../../core/safe-text.ts";
import type { PruneFacts } from "../facts/prune-candidates.ts";
import { count, percent, plural } from "../numbers.ts";
import { header } from "./parts/header.ts";
import { bold, dim } from "./parts/paint.ts";
import { clip, displayWidth, padLeft, padRight, wrap } from "./parts/text.ts";
import type { Terminal } from "./terminal.ts";

type PruneCandidate = PruneFacts["experts"][number];
type Column = readonly [heading: string, cell: (of: PruneCandidate) => string];

const NAME: Column = ["", ({ layer, expert }) => `L${layer} E${expert}`];
const USE: readonly Column[] = [
  ["tokens", (of) => count(of.count)],
  ["share", (of) => percent(of.share)],
  ["weight", (of) => percent(of.weightShare)],
];
const WEIGHT_INTERVAL: Column = ["95 % interval", (of) => of.weightInterval.map(percent).join(" to ")];
const REAP: readonly Column[] = [
  ["REAP", ({ reap }) => figure(reap!.relative)],
  ["95 % interval", ({ reap }) => intervalOf(reap!)],
];
const NEED: Column = [
  "most needed by",
  ({ mostNeededBy: of }) =>
    of.weightShare === 0
      ? "nobody here"
      : `${clip(safeText(of.label ?? "no label"), 16)} ${percent(of.weightShare)}`,
];

/** The experts that carry least, the least first. */
export function pruneView(
  { model, engine, experts, rows, samples, evenShare, weighted, score }: PruneFacts,
  limit: number,
  terminal: Terminal,
): string[] {
  const { depth, width } = terminal;
  const shown = experts.slice(0, limit);
  const labelled = shown.some(({ mostNeededBy }) => mostNeededBy.label !== null);
  const columns = [
    NAME,
    ...USE,
    ...(score === "reap" ? REAP : [WEIGHT_INTERVAL]),
    ...(labelled ? [NEED] : []),
  ];
  const cells = [
    columns.map(([heading]) => heading),
    ...shown.map((of) => columns.map(([, cell]) => cell(of))),
  ];
  const widths = columns.map((_, i) => largest(cells.map((row) => displayWidth(row[i]!))));
  const lines = cells.map((row) =>
    row
      .map((cell, i) => (columns[i] === NAME || columns[i] === NEED ? padRight : padLeft)(cell, widths[i]!))
      .join("  ")
      .trimEnd(),
  );
  const rest = experts.length - shown.length;
  const even = `(even: ${percent(evenShare)} of a layer's)`;
  return [
    ...header(model, engine.kind, terminal),
    "",
    bold(
      depth,
      score === "reap"
        ? "Experts that add least where they are used, by REAP score (mean: 1)"
        : `Experts that carry least routing weight ${even}`,
    ),
    dim(depth, clip(`  ${lines[0]}`, width)),
    ...lines.slice(1).map((line) => clip(`  ${line}`, width)),
    ...(rest > 0 ? [dim(depth, `  … ${plural(rest, "more expert")}: --limit, or --json for all`)] : []),
    "",
    ...wrap(
      `Measured on ${count(rows)} tokens of ${plural(samples, "sample")}${
        weighted ? "" : "; weights were not captured, every choice counts the same"
      }. Share: of the tokens, that used it. Weight: of its layer's routing weight${
        score === "reap" ? ` ${even}. ${REAP_MEANS}` : ""
      }; the interval takes a text as one observation.`,
      width,
    ).map((line) => dim(depth, line)),
    ...wrap(
      "Rarely used is not useless: an expert may be all a rare task has. Prune only what an evaluation of the pruned " +
        `model on your tasks allows.${score === "reap" ? "" : ` ${CAPTURE_OUTPUTS}`}`,
      width,
    ),
  ];
}

const REAP_MEANS =
  "REAP (arXiv:2510.13999): mean norm of its weighted output over those tokens, against the mean of its layer's experts";
const CAPTURE_OUTPUTS =
  "REAP (arXiv:2510.13999) also weighs by the norm of the experts' outputs: capture with " +
  "--streams expert_ids,expert_weights,expert_outputs to rank by its score.";

const figure = (relative: number) => relative.toFixed(2);

/** The interval on the scale of `relative`. */
function intervalOf({ score, relative, interval }: NonNullable<PruneCandidate["reap"]>): string {
  if (interval === null) return "too few texts";
  return interval.map((end) => figure((end / score) * relative)).join(" to ");
}
