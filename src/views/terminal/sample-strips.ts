import { chosenExperts, layersWithChoice } from "../../analysis/rows/chosen.ts";
import type { Capture } from "../../capture/capture.ts";
import { append } from "../../core/extremes.ts";
import { safeText } from "../../core/safe-text.ts";
import { plural } from "../numbers.ts";
import { bold, dim } from "./parts/paint.ts";
import { clip } from "./parts/text.ts";
import { type StripToken, tokenStrip } from "./parts/token-strip.ts";
import type { Terminal } from "./terminal.ts";

/** Lines all strips together may take, and the least one needs to be worth its heading. */
const MAX_LINES = 24;
const LEAST_LINES = 6;
/** A strip shows a few dozen tokens; the rest of a long sample is only counted. */
const MAX_TOKENS = 400;

/** The layer a strip shows when nothing says otherwise: in the middle, routing is neither about letters nor output. */
export function middleLayer(capture: Capture): number | undefined {
  const layers = layersWithChoice(capture);
  return layers[Math.floor(layers.length / 2)];
}

/** The first samples as token strips with the experts of one layer, as many as fit in some lines. */
export function sampleStrips(capture: Capture, layer: number, terminal: Terminal): string[] {
  const { depth, width } = terminal;
  const lines = [bold(depth, `Tokens and their experts in layer ${layer}, best first`)];
  const samples = capture.samples.map((_, i) => i).filter((i) => capture.sample(i).rows.length > 0);
  let shown = 0;
  while (shown < samples.length && MAX_LINES - lines.length >= LEAST_LINES) {
    const index = samples[shown]!;
    const left = MAX_LINES - lines.length - 1;
    // The first of several samples must not take it all.
    const share = samples.length - shown > 1 ? Math.max(LEAST_LINES, Math.floor(left / 2)) : left;
    lines.push(dim(depth, clip(sampleTitle(capture, index), width)));
    const sample = capture.sample(index);
    append(lines, tokenStrip(stripTokens(sample, layer), share, terminal, sample.rows.length));
    shown++;
  }
  if (shown < samples.length) lines.push(`… ${plural(samples.length - shown, "more sample")}`);
  return lines;
}

/** The first rows of a one-sample capture with the experts that served them in a layer. */
export function stripTokens(sample: Capture, layer: number): StripToken[] {
  const { position, phase, text } = sample.rows;
  const tokens: StripToken[] = [];
  for (const { from, rows, ids } of chosenExperts(sample, layer)) {
    const topK = ids.length / rows;
    for (let row = 0; row < rows && tokens.length < MAX_TOKENS; row++)
      tokens.push({
        position: position[from + row]!,
        text: text[from + row]!,
        generated: phase[from + row] === "generated",
        experts: ids.subarray(row * topK, (row + 1) * topK),
      });
    if (tokens.length >= MAX_TOKENS) break;
  }
  return tokens;
}

function sampleTitle(capture: Capture, index: number): string {
  const { label, promptTokens } = capture.samples[index]!;
  const generated = capture.outputs.find(({ sample }) => sample === index)?.tokens.length ?? 0;
  return [
    `sample ${index}`,
    ...(label === null ? [] : [safeText(label)]),
    plural(promptTokens, "prompt token") + (generated > 0 ? `, ${generated} generated after ▸` : ""),
  ].join(" · ");
}
