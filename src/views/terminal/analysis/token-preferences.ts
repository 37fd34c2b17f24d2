import type { TokenPreferences } from "../../../analysis/measures/token-preferences.ts";
import { coefficientOfVariation } from "../../../analysis/statistics/balance.ts";
import { safeToken } from "../../../core/safe-text.ts";
import { tokensTested } from "../../evidence.ts";
import type { CaptureAnalysis, LayerAnalysis } from "../../facts/analysis.ts";
import { count, qOf, times } from "../../numbers.ts";
import { heatTable } from "../parts/heat-table.ts";
import { bold, dim } from "../parts/paint.ts";
import { clip, displayWidth, padRight, wrap } from "../parts/text.ts";
import { USAGE_SCALE } from "../parts/usage-scale.ts";
import type { Terminal } from "../terminal.ts";

/** Experts listed: those whose preferences are clearest. */
const MAX_EXPERTS = 16;
/** Columns of the tokens an expert serves; the example takes the rest. */
const TOKENS_WIDTH = 28;
/** ... and of the first one's lift and q. */
const LIFT_WIDTH = 15;
const MAX_TOKEN = 12;
const MAX_CLASSES = 12;

/** Classes of tokens by experts in one layer. */
export function tokenClassMap(
  { fairShare }: CaptureAnalysis,
  { layer, tokenClasses }: LayerAnalysis,
  terminal: Terminal,
): string[] {
  if (!tokenClasses) return [];
  const { groups, rows, counts } = tokenClasses;
  const shown = groups.slice(0, MAX_CLASSES).map((name, g) => ({
    name,
    values: counts[g]!.map((n) => n / rows[g]! / fairShare),
    figures: [coefficientOfVariation(counts[g]!).toFixed(2), count(rows[g]!)],
  }));
  const hidden = groups.length - shown.length;
  return [
    bold(terminal.depth, `Usage by class of token in layer ${layer}, against fair share`),
    ...heatTable({ scale: USAGE_SCALE, rows: shown, columns: ["CV", "tokens"], notes: [] }, terminal),
    ...(hidden > 0 ? [dim(terminal.depth, `… ${hidden} more classes`)] : []),
  ];
}

/** Which tokens the experts of a layer prefer: those they serve far more than others, and the one they weigh most. */
export function tokenPreferenceList(
  { layer, tokenPreferences }: LayerAnalysis,
  { width, depth }: Terminal,
): string[] {
  const having = tokenPreferences.experts.filter(
    ({ byLift, byWeight }) => byLift.length + byWeight.length > 0,
  );
  if (having.length === 0) return [];
  const clearest = [...having].sort((a, b) => clarity(b) - clarity(a)).slice(0, MAX_EXPERTS);
  const shown = clearest.sort((a, b) => a.expert - b.expert);
  const lines = shown.map(({ expert, byLift, byWeight }) => {
    const name = padRight(`E${expert}`, 5);
    const tokens = padRight(fitting(byLift.map(({ text }) => text)), TOKENS_WIDTH);
    const [top] = byWeight;
    const [first] = byLift;
    const lift = padRight(first ? `${times(first.lift)}, ${qOf(first.qValue)}` : "", LIFT_WIDTH);
    const room = width - 2 - 5 - TOKENS_WIDTH - 2 - LIFT_WIDTH - 2;
    return `  ${name}${tokens}  ${lift}  ${top ? example(top, room, depth) : ""}`.trimEnd();
  });
  const rest = having.length - shown.length;
  return [
    bold(depth, `Tokens that the experts of layer ${layer} prefer`),
    dim(
      depth,
      `  ${padRight("", 5)}${padRight("tokens beyond chance", TOKENS_WIDTH)}  ${padRight("lift of first", LIFT_WIDTH)}  heaviest, in context`,
    ),
    ...lines,
    ...(rest > 0 ? [dim(depth, `  … ${rest} more experts, less clear ones`)] : []),
    ...wrap(tokensTested(tokenPreferences), width - 2).map((line) => dim(depth, `  ${line}`)),
  ];
}

const clarity = ({ byLift }: TokenPreferences) => byLift[0]?.liftLow ?? 0;

/** As many tokens as fit, two columns apart. */
function fitting(texts: readonly string[]): string {
  let line = "";
  for (const text of texts) {
    const next = `${line}${line && "  "}${clip(safeToken(text), MAX_TOKEN)}`;
    if (displayWidth(next) > TOKENS_WIDTH) break;
    line = next;
  }
  return line;
}

/** The token in brackets with as much of the text around it as there is room for, more of it before. */
function example(
  { before, text, after }: TokenPreferences["byWeight"][number],
  room: number,
  depth: Terminal["depth"],
): string {
  const token = `[${clip(safeToken(text), MAX_TOKEN)}]`;
  const left = room - displayWidth(token);
  const behind = clip(safeToken(after), Math.floor(left / 3));
  const front = clipStart(safeToken(before), left - displayWidth(behind));
  return dim(depth, front) + bold(depth, token) + dim(depth, behind);
}

/** The text, its beginning replaced by `…` where it would take more than `width` columns. */
function clipStart(text: string, width: number): string {
  const chars = [...text];
  let used = 1;
  let from = chars.length;
  if (displayWidth(text) <= width) return text;
  while (from > 0 && used + displayWidth(chars[from - 1]!) <= width) used += displayWidth(chars[--from]!);
  return `…${chars.slice(from).join("")}`;
}
