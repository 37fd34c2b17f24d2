import type { CheckpointComparison } from "../../analysis/compare/compare-checkpoints.ts";
import type { Capture } from "../../capture/capture.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import { comparedCapture, sideOf } from "./compared-capture.ts";

const FORMAT = "moescope.checkpoints/1";

/** Captures in their order: what `compare A B C ... --json` prints and the terminal shows. */
export const checkpointFacts = schema((z) => {
  const count = z.int().nonnegative();
  const agreement = z
    .strictObject({
      rows: count,
      samples: count,
      exact: z.number().meta({ description: "part of the rows with the same experts in every layer" }),
      overlap: z.number().meta({ description: "mean over rows and layers of |A ∩ B| / topK" }),
      interval: z.tuple([z.number(), z.number()]).meta({ description: "95 %, a sample as one observation" }),
      usageShift: z.number().meta({ description: "half of Σ |shareB - shareA| / topK, mean of the layers" }),
      shifted: count.meta({ description: "experts whose usage differs, q at most 0.05" }),
    })
    .nullable();
  return z.strictObject({
    format: z.literal(FORMAT),
    captures: z.array(comparedCapture()),
    checkpoints: z.array(
      z.strictObject({
        toFirst: agreement,
        toPrevious: agreement,
        toLast: agreement,
        settled: count.meta({ description: "experts within the tolerance of their last share from here on" }),
      }),
    ),
    layers: z.array(
      z.strictObject({
        layer: count,
        overlapWithPrevious: z.array(z.number().nullable()),
        overlapWithLast: z.array(z.number()),
        experts: z.array(
          z.strictObject({
            expert: count,
            shares: z.array(z.number()).meta({ description: "by capture" }),
            halfWidths: z
              .array(z.number().nullable())
              .meta({ description: "by capture: 95 % interval of the difference from the last, ± this" }),
            settled: count.meta({ description: "index of the capture" }),
            surelySettled: count.meta({ description: "the same for the whole 95 % interval" }),
          }),
        ),
      }),
    ),
    tolerance: z.number().meta({ description: "of a share: a tenth of the fair one" }),
    experts: count.meta({ description: "of all layers together" }),
  });
});
export type CheckpointFacts = Parsed<typeof checkpointFacts>;

export function checkpointsOf(captures: readonly Capture[], found: CheckpointComparison): CheckpointFacts {
  const copied = (of: CheckpointComparison["checkpoints"][number]["toFirst"]) =>
    of && { ...of, interval: [...of.interval] as [number, number] };
  return {
    format: FORMAT,
    captures: captures.map(sideOf),
    checkpoints: found.checkpoints.map(({ toFirst, toPrevious, toLast, settled }) => ({
      toFirst: copied(toFirst),
      toPrevious: copied(toPrevious),
      toLast: copied(toLast),
      settled,
    })),
    layers: found.layers.map(({ overlapWithPrevious, overlapWithLast, experts, layer }) => ({
      layer,
      overlapWithPrevious: [...overlapWithPrevious],
      overlapWithLast: [...overlapWithLast],
      experts: experts.map(({ shares, halfWidths, ...of }) => ({
        ...of,
        shares: [...shares],
        halfWidths: [...halfWidths],
      })),
    })),
    tolerance: found.tolerance,
    experts: found.experts,
  };
}
