import type { TextStrip } from "../../../analysis/measures/texts.ts";
import { largest } from "../../../core/extremes.ts";
import { safeText } from "../../../core/safe-text.ts";
import { viridis } from "../../colours.ts";
import type { CaptureAnalysis } from "../../facts/analysis.ts";
import { mean } from "../parts/layer-groups.ts";
import { bold, dim, foreground } from "../parts/paint.ts";
import { clip, padLeft, padRight } from "../parts/text.ts";
import type { Terminal } from "../terminal.ts";

const MAX_TEXTS = 8;
const NAME_WIDTH = 22;
const BARS = [..."▁▂▃▄▅▆▇█"];

/** Routing entropy along some texts, a column for a few tokens each: where routing was undecided. */
export function entropyLines({ texts, experts }: CaptureAnalysis, { width, depth }: Terminal): string[] {
  const having = texts.filter(({ entropy, tokens }) => entropy && tokens.length > 0).slice(0, MAX_TEXTS);
  if (having.length === 0) return [];
  const curves = having.map(meanOverLayers);
  const most = curves.reduce((top, curve) => Math.max(top, largest(curve)), 0);
  const room = width - 2 - NAME_WIDTH - 6;
  const lines = having.map(({ sample, label }, i) => {
    const name = label === null ? `sample ${sample}` : `sample ${sample} ${safeText(label)}`;
    const bars = pieces(curves[i]!, room).map((piece) => {
      const amount = most === 0 ? 0 : mean(piece) / most;
      const bar = BARS[Math.min(BARS.length - 1, Math.floor(amount * BARS.length))]!;
      return foreground(depth, viridis(amount), bar);
    });
    const figure = padLeft(mean(curves[i]!).toFixed(2), 6);
    return `  ${padRight(clip(name, NAME_WIDTH - 1), NAME_WIDTH)}${bars.join("")}${" ".repeat(room - bars.length)}${figure}`;
  });
  return [
    bold(depth, "Routing entropy along the text, mean of the layers (at the end: of the text)"),
    ...lines,
    dim(depth, `  ▁ 0 to █ ${most.toFixed(2)} nats, of at most ${Math.log(experts).toFixed(2)}`),
  ];
}

function meanOverLayers({ entropy, tokens }: TextStrip): number[] {
  return tokens.map((_, token) => mean(entropy!.map((layer) => layer[token]!)));
}

/** The values in at most `count` runs of neighbours. */
function pieces(values: readonly number[], count: number): number[][] {
  const number = Math.min(count, values.length);
  return Array.from({ length: number }, (_, i) =>
    values.slice(Math.round((i * values.length) / number), Math.round(((i + 1) * values.length) / number)),
  );
}
