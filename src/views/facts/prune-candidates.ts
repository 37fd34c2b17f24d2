import type { PruneCandidates } from "../../advice/prune-candidates.ts";
import type { Capture } from "../../capture/capture.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import { engineFacts, modelFacts } from "./model.ts";

const FORMAT = "moescope.prune-candidates/2";

/** Experts by what they contribute: what `prune-candidates --json` prints and the terminal shows. */
export const pruneFacts = schema((z) => {
  const count = z.int().nonnegative();
  const interval = z.tuple([z.number(), z.number()]);
  const need = z.strictObject({ label: z.string().nullable(), weightShare: z.number() });
  return z.strictObject({
    format: z.literal(FORMAT),
    model: modelFacts(),
    engine: engineFacts(),
    rows: count,
    samples: count,
    notFinite: count.meta({ description: "rows of all layers whose weights or outputs are not finite" }),
    evenShare: z.number().meta({ description: "1 / experts" }),
    weighted: z.boolean().meta({ description: "whether weightShare counts mixing weights" }),
    score: z.enum(["reap", "weightShare"]).meta({ description: "what the experts are ordered by" }),
    experts: z.array(
      z.strictObject({
        layer: count,
        expert: count,
        count,
        share: z.number(),
        interval,
        weightShare: z.number().meta({ description: "part of the layer's routing weight" }),
        weightInterval: interval,
        reap: z
          .strictObject({ score: z.number(), interval: interval.nullable(), relative: z.number() })
          .nullable(),
        byLabel: z.array(need),
        mostNeededBy: need,
      }),
    ),
  });
});
export type PruneFacts = Parsed<typeof pruneFacts>;

/** @param found what `pruneCandidates(capture)` gave. */
export const pruneFactsOf = ({ model, engine }: Capture, found: PruneCandidates): PruneFacts => ({
  format: FORMAT,
  model,
  engine: { kind: engine.kind, version: engine.version },
  ...found,
  experts: found.experts.map(({ interval, weightInterval, reap, byLabel, ...of }) => ({
    ...of,
    interval: [...interval],
    weightInterval: [...weightInterval],
    reap: reap && { ...reap, interval: reap.interval && [...reap.interval] },
    byLabel: [...byLabel],
  })),
});
