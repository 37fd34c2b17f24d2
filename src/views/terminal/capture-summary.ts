import type { Capture } from "../../capture/capture.ts";
import { ranges } from "../../capture/plan.ts";
import { formatMoeRouterLogitsSummary } from "../../hs/summary.ts";

/** Layer lines shown before the middle is left out: a 61-layer model says the same thing 61 times. */
const MAX_LINES = 8;

/** What was captured: EasySteer's list of MoE layers, then a line for each other stream. */
export function captureSummary(capture: Capture): string[] {
  const others = capture.streams.filter((name) => name !== "router_logits");
  return [
    ...(capture.streams.includes("router_logits")
      ? routerLogitsLines(capture)
      : [`Captured ${capture.rows.length} tokens:`]),
    ...others.map((name) => {
      const layers = [...capture.stream(name).keys()];
      const dims = layers.length > 0 ? capture.stream(name).rowDims(layers[0]!) : [];
      const sizes = dims.map((size) => ` × ${size}`).join("");
      const where = layers.length > 0 ? `layers ${ranges(layers)}` : "no layer";
      return `  ${name}: ${capture.rows.length} tokens${sizes}, ${where}`;
    }),
  ];
}

function routerLogitsLines(capture: Capture): string[] {
  const { routerLogits, rows } = capture;
  // Shapes only: the values of a stored capture stay on disk.
  const shapes = new Map(
    [...routerLogits.keys()].map((layer) => {
      const dims = [rows.length, routerLogits.width(layer)];
      return [layer, { type: "float32" as const, dims, data: new Float32Array(0) }];
    }),
  );
  const lines = formatMoeRouterLogitsSummary(shapes).split("\n");
  if (lines.length <= MAX_LINES) return lines;
  const hidden = lines.length - MAX_LINES + 1;
  return [...lines.slice(0, MAX_LINES - 2), `  … ${hidden} more layers`, ...lines.slice(-1)];
}
