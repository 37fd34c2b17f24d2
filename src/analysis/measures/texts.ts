import type { Capture } from "../../capture/capture.ts";
import type { TextStrip } from "../capture-analysis.ts";
import { chosenRows, hasStream } from "../scan/chosen.ts";
import { rowEntropy } from "../statistics/row-entropy.ts";

/** Tokens of a strip: a page of text, and 48 layers of it are 25 000 numbers. */
const MAX_TOKENS = 512;

/**
 * Some samples token by token, with their routing entropy and best experts. The first sample of each label comes
 * first, then others in order, up to `count`.
 */
export function textStrips(capture: Capture, layers: readonly number[], count: number): TextStrip[] {
  return chooseSamples(capture, count).map((sample) => textStrip(capture, sample, layers));
}

/** One sample token by token. */
function textStrip(capture: Capture, sample: number, layers: readonly number[]): TextStrip {
  const part = capture.sample(sample);
  const length = Math.min(MAX_TOKENS, part.rows.length);
  const { position, text, phase } = part.rows;
  const withLogits = layers.every((layer) => hasStream(part, "router_logits", layer));
  return {
    sample,
    label: capture.samples[sample]!.label,
    rows: part.rows.length,
    tokens: Array.from({ length }, (_, row) => ({
      position: position[row]!,
      text: text[row]!,
      generated: phase[row] === "generated",
    })),
    layers,
    entropy: withLogits
      ? layers.map((layer) =>
          Array.from(rowEntropy(part.routerLogits.rows(layer, 0, length)), (nats) => Number(nats.toFixed(3))),
        )
      : null,
    best: layers.map((layer) => {
      const { ids, rows } = chosenRows(part, layer, 0, length);
      const topK = ids.length / rows;
      return Array.from({ length }, (_, row) => ids[row * topK]!);
    }),
  };
}

function chooseSamples({ rows, samples }: Capture, count: number): number[] {
  const having = [...new Set(rows.sample)];
  const seen = new Set<string | null>();
  const firsts = having.filter((sample) => {
    const { label } = samples[sample]!;
    return !seen.has(label) && seen.add(label);
  });
  return [...new Set([...firsts, ...having])].slice(0, count);
}
