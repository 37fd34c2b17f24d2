import type { ExpertLoad } from "../../../analysis/measures/usage.ts";
import type { CaptureAnalysis } from "../../facts/analysis.ts";
import { count, percent, plural, times } from "../../numbers.ts";
import { alignColumns } from "../parts/columns.ts";
import { bold, dim } from "../parts/paint.ts";
import { padLeft, padRight } from "../parts/text.ts";
import type { Terminal } from "../terminal.ts";

const MAX_LINES = 6;

/** Experts below half their fair share, with how sure that is; those for which the texts suffice come first. */
export function underusedList({ layers, fairShare }: CaptureAnalysis, { depth }: Terminal): string[] {
  const found = layers.flatMap(({ layer, usage }) =>
    usage.experts.filter(({ state }) => state !== "used").map((expert) => ({ layer, ...expert })),
  );
  const dead = found.filter(({ state }) => state === "dead").length;
  const title = bold(depth, `Underused experts (below half the fair share of ${percent(fairShare)})`);
  if (found.length === 0) return [title, "  none"];
  const order = [...found].sort(
    (a, b) => +b.significant - +a.significant || a.share - b.share || a.layer - b.layer,
  );
  const lines = alignColumns(
    order
      .slice(0, MAX_LINES)
      .map((expert) => [
        `L${expert.layer} E${expert.expert}`,
        expert.state === "dead" ? "never used" : `${count(expert.count)} tokens, ${percent(expert.share)}`,
        times(expert.timesFair),
        `95 %: ${interval(expert)}`,
        expert.significant ? "" : "unsure",
      ]),
    [padRight, padRight, padLeft, padRight, padRight],
  );
  const sure = found.filter((expert) => expert.significant).length;
  const rest = found.length - Math.min(MAX_LINES, found.length);
  return [
    title,
    ...lines.map((line) => `  ${line}`.trimEnd()),
    dim(
      depth,
      `  ${plural(found.length, "expert")}, ${dead} never used` +
        (sure < found.length ? `; ${found.length - sure} unsure: too few texts` : "") +
        (rest > 0 ? `; ${rest} not listed` : ""),
    ),
  ];
}

const interval = ({ interval: [low, high] }: ExpertLoad) =>
  `${percent(low).replace(" %", "")} to ${percent(high)}`;
