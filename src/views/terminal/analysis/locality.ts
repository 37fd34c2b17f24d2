import type { CaptureAnalysis } from "../../facts/analysis.ts";
import { localitySummary, type OverLayers } from "../../facts/locality.ts";
import { count, percent, plural } from "../../numbers.ts";
import { alignColumns } from "../parts/columns.ts";
import { bold, dim } from "../parts/paint.ts";
import { clip, padLeft, padRight, wrap } from "../parts/text.ts";
import type { Terminal } from "../terminal.ts";

/** What caches of experts would serve, what drafted tokens need, and what can be loaded ahead. */
export function localityView(analysis: CaptureAnalysis, { depth, width }: Terminal): string[] {
  const found = localitySummary(analysis);
  if (!found) return [];
  const rows = found.caches.map(({ size, lru, lruCold, lfu, belady }) => [
    `${size}`,
    percent(lru.mean),
    range(lru),
    percent(lruCold),
    percent(lfu),
    percent(belady),
  ]);
  const unions = found.unions
    .filter(({ tokens }) => tokens > 1)
    .map(({ tokens, experts, byChance }) => `${tokens}: ${experts.toFixed(1)} (${byChance.toFixed(1)})`);
  const line = (text: string) => clip(`  ${text}`, width);
  return [
    bold(depth, `Caches of experts in each layer (of ${analysis.experts}): part of the requests served`),
    ...alignColumns(
      [["size", "LRU", "layers", "cold", "LFU", "best"], ...rows],
      [padLeft, padLeft, padRight, padLeft, padLeft, padLeft],
    ).map((text, i) => (i === 0 ? dim(depth, line(text)) : line(text))),
    dim(depth, line("cold: each text begins with an empty cache; best: Belady, who knows what comes")),
    line(
      `as the token before: ${percent(found.repeated)} of a token's experts, ${percent(found.repeatedByChance)} by chance`,
    ),
    ...(unions.length > 0
      ? wrap(`experts of n tokens (by chance): ${unions.join(", ")}`, width - 2).map(line)
      : []),
    ...found.recalls.map(({ predicted, recall, byPopularity }) =>
      line(
        `next layer's among ${predicted} predicted: ${percent(recall.mean)} (${range(recall)}; most used: ${percent(byPopularity)})`,
      ),
    ),
    dim(depth, line(`token by token over ${plural(found.texts, "text")} of ${count(found.tokens)} tokens`)),
  ];
}

const range = ({ least, most }: OverLayers) => `${percent(least).replace(" %", "")}-${percent(most)}`;
