import type { CaptureComparison } from "../../analysis/compare/compare-captures.ts";
import type { Capture } from "../../capture/capture.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import { comparedCapture, shift, sideOf } from "./compared-capture.ts";
import { finite } from "./finite.ts";

/** Two captures, row by row: what `compare --json` prints, the server answers and the terminal shows. */
export const comparisonFacts = schema((z) => {
  const count = z.int().nonnegative();
  const number = z.number().nullable();
  const place = { sample: count, position: count, tokenId: z.int(), text: z.string() };
  return z
    .strictObject({
      format: z.literal(FORMAT),
      a: comparedCapture(),
      b: comparedCapture(),
      rows: count.meta({ description: "pairs of rows compared" }),
      samples: count.meta({ description: "samples that they are of" }),
      onlyA: count.meta({ description: "rows of A without a counterpart" }),
      onlyB: count,
      divergingTexts: z
        .array(z.strictObject({ sample: count, position: count }))
        .meta({ description: "where generated texts diverge; nothing behind is compared" }),
      notFinite: count.meta({
        description: "rows of which some layer is left out: a logit or weight is NaN or infinite there",
      }),
      exact: z.number().meta({ description: "part of the other rows with the same experts in every layer" }),
      layers: z.array(
        z.strictObject({
          layer: count,
          notFinite: count.meta({ description: "rows left out of this layer's figures" }),
          exact: z.number().meta({ description: "part of the rows with the same set of experts" }),
          overlap: z.number().meta({ description: "mean of |A ∩ B| / topK" }),
          top1: z.number().meta({ description: "part of the rows with the same best expert" }),
          kl: number.meta({
            description: "mean KL(A || B), nats; null where it is infinite or without logits",
          }),
          js: number.meta({ description: "mean Jensen-Shannon divergence, nats" }),
          firstToDiffer: count.meta({ description: "rows that differ here and in no layer before" }),
          experts: z.array(shift()),
        }),
      ),
      firstDisagreements: z.array(z.strictObject({ ...place, layer: count })),
      moved: z.array(z.strictObject({ ...place, js: number, overlap: z.number(), firstLayer: z.int() })),
      tokens: z
        .strictObject({
          sample: z.array(count),
          position: z.array(count),
          tokenId: z.array(z.int()),
          overlap: z.array(number),
          js: z.array(number).nullable(),
          firstLayer: z.array(z.int()).meta({ description: "-1: all layers agree" }),
        })
        .nullable()
        .meta({ description: "by compared row; null where it is left out, as in the server's answer" }),
    })
    .meta({ id: "Comparison" });
});
export type ComparisonFacts = Parsed<typeof comparisonFacts>;

const FORMAT = "moescope.comparison/3";

/** @param found what `compareCaptures(a, b)` gave. */
export function comparisonOf(
  a: Capture,
  b: Capture,
  found: CaptureComparison,
  { tokens }: { readonly tokens: boolean },
): ComparisonFacts {
  const { rows } = found;
  return {
    format: FORMAT,
    a: sideOf(a),
    b: sideOf(b),
    rows: rows.length,
    samples: new Set(rows.sample).size,
    onlyA: found.onlyA,
    onlyB: found.onlyB,
    divergingTexts: [...found.divergingTexts],
    notFinite: found.notFinite,
    exact: found.exact,
    layers: [...found.layers].map(([layer, of]) => ({
      layer,
      ...of,
      kl: finite(of.kl),
      js: finite(of.js),
      experts: [...of.experts],
    })),
    firstDisagreements: [...found.firstDisagreements],
    moved: found.moved.map((token) => ({ ...token, js: finite(token.js) })),
    tokens: tokens
      ? {
          sample: [...rows.sample],
          position: [...rows.position],
          tokenId: [...rows.tokenId],
          overlap: Array.from(rows.overlap, finite),
          js: rows.js && Array.from(rows.js, finite),
          firstLayer: [...rows.firstLayer],
        }
      : null,
  };
}
