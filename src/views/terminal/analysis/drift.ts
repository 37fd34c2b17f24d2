import type { Drift } from "../../../analysis/measures/tallies/drift.ts";
import { ALPHA, BEYOND_CHANCE, tooFewToFlip } from "../../evidence.ts";
import type { LayerAnalysis } from "../../facts/analysis.ts";
import { information, plural, qOf } from "../../numbers.ts";
import { alignColumns } from "../parts/columns.ts";
import { bold, dim } from "../parts/paint.ts";
import { padLeft, padRight, wrap } from "../parts/text.ts";
import type { Terminal } from "../terminal.ts";

/** Whether a layer's usage changes along the text, and from prompt to what was generated. */
export function driftView({ layer, positions, phases }: LayerAnalysis, { width, depth }: Terminal): string[] {
  const lines = [
    ...(positions ? groupLines(positions, (name) => `position ${name}`) : []),
    // Of two groups each is as far from the other.
    ...(phases ? groupLines({ ...phases, groups: phases.groups.slice(1) }, (name) => name) : []),
  ];
  if (lines.length === 0) return [];
  const aligned = alignColumns(lines, [padRight, padLeft, padLeft, padLeft, padRight]);
  return [
    bold(depth, `Usage along the text in layer ${layer}: divergence from the rest (at most 0.693 nats)`),
    ...aligned.map((line) => line.trimEnd()),
    ...wrap(tooFewToFlip((positions ?? phases)!.leastQ) ?? `* ${BEYOND_CHANCE}`, width - 2).map((line) =>
      dim(depth, `  ${line}`),
    ),
  ];
}

const groupLines = ({ groups }: Drift, title: (name: string) => string) =>
  groups.map(({ name, rows, divergence, chanceDivergence, qValue }) => [
    `${qValue <= ALPHA ? "*" : " "} ${title(name)}`,
    plural(rows, "token"),
    `${information(divergence)} nats`,
    `by chance ${information(chanceDivergence)}`,
    qOf(qValue),
  ]);
