import type { CaptureComparison } from "../analysis/compare/compare-captures.ts";
import type { LabelComparison } from "../analysis/compare/compare-labels.ts";
import type { Capture } from "../capture/capture.ts";

/**
 * A comparison as a plain object, for `--json`: what the view shows, with every layer, expert and row. What is not
 * finite (KL where B gives an expert no probability at all) becomes `null`, as `JSON.stringify` writes it.
 */
export function comparisonReport(a: Capture, b: Capture, comparison: CaptureComparison) {
  const { rows, layers, ...rest } = comparison;
  return {
    format: "moescope.comparison/1",
    a: sideReport(a),
    b: sideReport(b),
    ...rest,
    layers: [...layers].map(([layer, of]) => ({ layer, ...of })),
    rows: {
      sample: [...rows.sample],
      position: [...rows.position],
      token_id: [...rows.tokenId],
      overlap: [...rows.overlap],
      js: rows.js && [...rows.js],
      first_layer: [...rows.firstLayer],
    },
  };
}

/** Two labels of a capture as a plain object. */
export function labelReport(capture: Capture, { layers, ...rest }: LabelComparison) {
  return {
    format: "moescope.label-comparison/1",
    capture: sideReport(capture),
    ...rest,
    layers: [...layers].map(([layer, of]) => ({ layer, ...of })),
  };
}

const sideReport = ({ model, engine, rows, complete }: Capture) => ({
  model,
  engine,
  rows: rows.length,
  complete,
});
