import { ranges } from "../../core/plan.ts";
import { safeText } from "../../core/safe-text.ts";
import { formatMoeRouterLogitsSummary } from "../../hs/summary.ts";
import type { CaptureFacts } from "../facts/capture.ts";

/** Layer lines shown before the middle is left out: a 61-layer model says the same thing 61 times. */
const MAX_LINES = 8;

type Facts = Pick<CaptureFacts, "rows" | "streams" | "embedding" | "reduce" | "dropped" | "edits">;

/** What was captured: EasySteer's list of MoE layers, then a line for each other stream, and for embeddings. */
export function captureSummary({ rows, streams, embedding, reduce, dropped, edits = [] }: Facts): string[] {
  const logits = streams.find(({ name }) => name === "router_logits");
  return [
    ...(logits ? routerLogitsLines(logits) : [`Captured ${rows} tokens:`]),
    ...streams
      .filter((stream) => stream !== logits)
      .map(({ name, dims, layers }) => {
        const sizes = layers.length > 0 ? dims.slice(1).map((size) => ` × ${size}`) : [];
        const where = layers.length > 0 ? `layers ${ranges(layers)}` : "no layer";
        return `  ${name}: ${rows} tokens${sizes.join("")}, ${where}`;
      }),
    ...(embedding ? [embeddingLine(embedding)] : []),
    ...edits.map((words) => `  edited: ${safeText(words)}`),
    ...(reduce === "all"
      ? []
      : [`  one row a sample: ${reduce === "mean" ? "the mean of its rows" : "its last one"}`]),
    ...(dropped === 0 ? [] : [`  ${dropped} more rows were selected and not kept`]),
  ];
}

function embeddingLine({ pooling, normalize, samples, size }: NonNullable<Facts["embedding"]>): string {
  const scaled = normalize ? ", scaled to length 1" : "";
  return `  embeddings: ${samples} samples × ${size}, pooling ${pooling}${scaled}`;
}

function routerLogitsLines({ dims, layers }: Facts["streams"][number]): string[] {
  // Shapes only: every layer has as many experts.
  const shape = { type: "float32" as const, dims, data: new Float32Array(0) };
  const lines = formatMoeRouterLogitsSummary(new Map(layers.map((layer) => [layer, shape]))).split("\n");
  if (lines.length <= MAX_LINES) return lines;
  const hidden = lines.length - MAX_LINES + 1;
  return [...lines.slice(0, MAX_LINES - 2), `  … ${hidden} more layers`, ...lines.slice(-1)];
}
