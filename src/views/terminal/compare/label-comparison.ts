import { largest } from "../../../core/extremes.ts";
import { safeText } from "../../../core/safe-text.ts";
import { tooFewTexts, unequalLengths } from "../../evidence.ts";
import type { LabelComparisonFacts } from "../../facts/label-comparison.ts";
import { inColumn, plural, qOf } from "../../numbers.ts";
import { alignColumns } from "../parts/columns.ts";
import { header } from "../parts/header.ts";
import { layerGroups, mean } from "../parts/layer-groups.ts";
import { bold, dim } from "../parts/paint.ts";
import { clip, padLeft, padRight } from "../parts/text.ts";
import type { Terminal } from "../terminal.ts";
import { shiftList, shiftMap } from "./shifts.ts";

/** Two labels of one capture. */
export function labelComparisonView(facts: LabelComparisonFacts, terminal: Terminal): string[] {
  const { width, depth } = terminal;
  const { capture, labels, samples, rows, layers } = facts;
  const side = (name: string, i: 0 | 1) =>
    `${name}  ${safeText(labels[i])}: ${plural(rows[i], "token")} of ${plural(samples[i], "sample")}`;
  return [
    ...header(capture.model, capture.engine.kind, terminal),
    "",
    clip(side("A", 0), width),
    clip(side("B", 1), width),
    "",
    ...informationTable(layers, terminal),
    "",
    ...shiftMap(layers, terminal),
    ...shiftList(
      layers,
      [tooFewTexts(facts.leastQ, samples), unequalLengths(facts.matchedRows, rows[0] + rows[1])],
      terminal,
    ),
    dim(depth, "Next: add --json   every layer and expert"),
  ];
}

/** How much a layer's choices tell of the label, beside what chance would. */
function informationTable(layers: LabelComparisonFacts["layers"], { depth }: Terminal): string[] {
  const { groups, notes } = layerGroups(layers);
  const lines = alignColumns(
    groups.map(({ name, members }) => [
      name,
      `${inColumn(mean(members.map((layer) => layer.mutualInformation)))} bits`,
      `by chance ${inColumn(mean(members.map((layer) => layer.chanceInformation)))}`,
      // Means of q-values mean nothing: a line of several layers shows the least telling.
      qOf(largest(members.map(({ qValue }) => qValue))),
    ]),
    [padRight, padLeft, padLeft, padRight],
  );
  return [
    bold(depth, "What an expert tells of the label (mutual information, at most 1 bit)"),
    ...lines.map((line) => `  ${line}`),
    ...notes.map((note) => dim(depth, `  ${note}`)),
  ];
}
