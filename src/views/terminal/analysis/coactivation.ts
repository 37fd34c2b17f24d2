import type { CoactivationPair } from "../../../analysis/measures/coactivation.ts";
import { safeToken } from "../../../core/safe-text.ts";
import { pairsTested } from "../../evidence.ts";
import type { CaptureAnalysis, LayerAnalysis } from "../../facts/analysis.ts";
import { count, percent, qOf, times } from "../../numbers.ts";
import { alignColumns } from "../parts/columns.ts";
import { bold, dim } from "../parts/paint.ts";
import { clip, padLeft, padRight, wrap } from "../parts/text.ts";
import type { Terminal } from "../terminal.ts";

const MAX_PAIRS = 5;
const MAX_FLOWS = 8;
const MAX_PATHS = 6;
const MAX_TOKEN = 12;
/** Kaufman and Rousseeuw's reading of the silhouette: below it, no structure to speak of. */
const NO_STRUCTURE = 0.25;

/** Which experts of a layer serve the same tokens. */
export function coactivationView(
  { layer, coactivation }: LayerAnalysis,
  { width, depth }: Terminal,
): string[] {
  if (!coactivation) return [];
  const { together, apart, clusters, silhouette } = coactivation;
  const pair = (of: CoactivationPair | undefined) =>
    of
      ? [`E${of.a} E${of.b}`, times(of.lift), `${count(of.count)} tokens`, qOf(of.qValue)]
      : ["", "", "", ""];
  const lines = alignColumns(
    Array.from({ length: Math.min(MAX_PAIRS, Math.max(together.length, apart.length)) }, (_, i) => [
      ...pair(together[i]),
      ...pair(apart[i]),
    ]),
    [padRight, padLeft, padLeft, padRight, padRight, padLeft, padLeft, padRight],
  );
  const groups = clusters.filter(({ length }) => length > 1).map((members) => members.join(" "));
  const structure =
    silhouette === null || silhouette < NO_STRUCTURE
      ? "No clear groups of experts"
      : `Groups (silhouette ${silhouette.toFixed(2)}): ${groups.join(" | ")}`;
  return [
    bold(depth, `Experts of layer ${layer} that serve the same tokens, and that avoid each other`),
    ...(lines.length > 0 ? lines.map((line) => `  ${line}`.trimEnd()) : ["  No pair is beyond chance"]),
    clip(`  ${structure}`, width),
    ...wrap(`× chance, given how often each is used; ${pairsTested(coactivation)}`, width - 2).map((line) =>
      dim(depth, `  ${line}`),
    ),
  ];
}

/** How routing goes on from layer to layer. */
export function flowView({ flows, paths }: CaptureAnalysis, { width, depth }: Terminal): string[] {
  if (flows.length === 0) return [];
  const shown = evenly(flows, MAX_FLOWS);
  const lines = alignColumns(
    shown.map(({ from, to, information, entropy, edges }) => [
      `L${from} → L${to}`,
      information === null ? "too few tokens" : `${information.toFixed(2)} of ${entropy.toFixed(2)} bits`,
      ...(edges[0]
        ? [
            `E${edges[0].a} → E${edges[0].b}`,
            percent(edges[0].probability),
            `${times(edges[0].lift)} expected`,
          ]
        : ["", "", ""]),
    ]),
    [padRight, padLeft, padRight, padLeft, padLeft],
  );
  return [
    bold(depth, "From layer to layer: what the best expert tells of the next; strongest link"),
    ...lines.map((line) => clip(`  ${line}`.trimEnd(), width)),
    ...pathList(paths, { width, depth }),
  ];
}

function pathList(paths: CaptureAnalysis["paths"], { width, depth }: Terminal): string[] {
  const found = paths.flatMap(({ layers, top }) => top.map((path) => ({ layers, ...path })));
  if (found.length === 0) return [];
  const lines = alignColumns(
    [...found]
      .sort((a, b) => b.share - a.share)
      .slice(0, MAX_PATHS)
      .map(({ layers, experts, share, tokens }) => [
        `L${layers[0]}-${layers.at(-1)}`,
        experts.join(" "),
        percent(share),
        tokens.map(({ text }) => clip(safeToken(text), MAX_TOKEN)).join("  "),
      ]),
    [padRight, padRight, padLeft, padRight],
  );
  return [
    dim(depth, "  most frequent paths: best experts, part of the tokens, which tokens most"),
    ...lines.map((line) => clip(`  ${line}`.trimEnd(), width)),
  ];
}

/** At most `count` of them, the first and the last among them. */
function evenly<T>(all: readonly T[], most: number): T[] {
  if (all.length <= most) return [...all];
  return Array.from({ length: most }, (_, i) => all[Math.round((i * (all.length - 1)) / (most - 1))]!);
}
