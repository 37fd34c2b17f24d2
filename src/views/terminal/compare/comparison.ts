import { safeToken } from "../../../core/safe-text.ts";
import { tooFewToFlip } from "../../evidence.ts";
import type { ComparisonFacts } from "../../facts/comparison.ts";
import { information, percent, plural } from "../../numbers.ts";
import { alignColumns } from "../parts/columns.ts";
import { header } from "../parts/header.ts";
import { bold, dim } from "../parts/paint.ts";
import { clip, padLeft, padRight } from "../parts/text.ts";
import type { Terminal } from "../terminal.ts";
import { agreementTable } from "./agreement-table.ts";
import { shiftList, shiftMap } from "./shifts.ts";

/** Lines of the lists; `--json` has all. */
const MAX_FIRST = 5;
const MAX_MOVED = 8;
const MAX_TOKEN = 20;

/** Two captures, row by row. `names`: what the user called them, as two captures of one model have the same name. */
export function comparisonView(
  facts: ComparisonFacts,
  names: readonly [a: string, b: string],
  terminal: Terminal,
): string[] {
  const { depth } = terminal;
  const { layers } = facts;
  return [
    ...side("A", names[0], facts.a, terminal),
    ...side("B", names[1], facts.b, terminal),
    "",
    ...whatWasCompared(facts),
    "",
    ...agreementTable(facts, terminal),
    "",
    ...firstList(facts, terminal),
    ...shiftMap(layers, terminal),
    ...shiftList(layers, [tooFewToFlip(2 ** (1 - facts.samples))], terminal),
    ...movedList(facts, terminal),
    dim(depth, "Next: add --json   every layer, expert and token"),
  ];
}

function side(
  letter: string,
  name: string,
  { model, engine }: ComparisonFacts["a"],
  terminal: Terminal,
): string[] {
  const named = { ...model, name: `${name}: ${model.name}` };
  const lines = header(named, engine.kind, { ...terminal, width: terminal.width - 3 });
  return lines.map((line, i) => `${i === 0 ? letter : " "}  ${line}`);
}

/** How much was compared, and what was not. */
function whatWasCompared(facts: ComparisonFacts): string[] {
  const { rows, samples, layers, onlyA, onlyB, divergingTexts, exact, notFinite } = facts;
  const alone = [
    ...(onlyA > 0 ? [`${plural(onlyA, "token")} only in A`] : []),
    ...(onlyB > 0 ? [`${plural(onlyB, "token")} only in B`] : []),
  ];
  return [
    `Compared ${plural(rows, "token")} of ${plural(samples, "sample")} in ${plural(layers.length, "MoE layer")}`,
    `${percent(exact)} of the tokens keep their experts in every layer`,
    ...(alone.length > 0 ? [`Left out: ${alone.join(", ")}`] : []),
    ...(notFinite > 0
      ? [`Left out: ${plural(notFinite, "token")} in layers where logits or weights are NaN or infinite`]
      : []),
    ...(divergingTexts.length > 0
      ? [`Left out: what follows where ${plural(divergingTexts.length, "generated text")} diverge`]
      : []),
  ];
}

/** Samples that part at the same place (often their common first token) share a line, the most first. */
function firstList({ firstDisagreements: found }: ComparisonFacts, { width, depth }: Terminal): string[] {
  if (found.length === 0) return [];
  const places = new Map<string, ComparisonFacts["firstDisagreements"]>();
  for (const first of found) {
    const place = `${first.position} ${first.layer} ${first.tokenId}`;
    places.set(place, [...(places.get(place) ?? []), first]);
  }
  const groups = [...places.values()].sort((a, b) => b.length - a.length);
  const lines = alignColumns(
    groups.slice(0, MAX_FIRST).map((group) => {
      const { sample, position, layer, text } = group[0]!;
      return [
        group.length > 1 ? plural(group.length, "sample") : `sample ${sample}`,
        `position ${position}`,
        `layer ${layer}`,
        clip(safeToken(text), MAX_TOKEN),
      ];
    }),
    [padRight, padLeft, padLeft, padRight],
  );
  const rest = groups.length - lines.length;
  return [
    bold(depth, "Where samples take other experts first"),
    ...lines.map((line) => clip(`  ${line}`.trimEnd(), width)),
    ...(rest > 0 ? [dim(depth, `  … ${plural(rest, "more place")}`)] : []),
    "",
  ];
}

function movedList({ moved }: ComparisonFacts, { width, depth }: Terminal): string[] {
  if (moved.length === 0) return [];
  const title =
    moved[0]!.js === null
      ? "Tokens that moved most, by experts kept"
      : "Tokens that moved most, by mean Jensen-Shannon divergence (0 to 0.693 nats)";
  const lines = alignColumns(
    moved
      .slice(0, MAX_MOVED)
      .map(({ sample, position, text, js, overlap }) => [
        `sample ${sample}`,
        `position ${position}`,
        clip(safeToken(text), MAX_TOKEN),
        js === null ? "" : `${information(js)} nats`,
        `${percent(overlap)} of experts kept`,
      ]),
    [padRight, padLeft, padRight, padLeft, padLeft],
  );
  return [bold(depth, title), ...lines.map((line) => clip(`  ${line}`, width)), ""];
}
