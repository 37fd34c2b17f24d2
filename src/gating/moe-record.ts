import type { Gating } from "../core/gating.ts";
import type { MoeInfo } from "../core/model-info.ts";
import { type Parsed, schema } from "../core/schema.ts";
import type { KnownRule } from "./architecture-rule.ts";
import { GROUP_BEST, knownRule } from "./architectures.ts";

const count = schema((z) => z.int().nonnegative());

const fields = schema((z) =>
  z.object({
    score: z.enum(["softmax", "softmax_topk", "sigmoid", "sqrt_softplus"]),
    normalize: z.boolean(),
    scale: z.number(),
    selectionBias: z.boolean(),
    groups: z.object({ count: count(), used: count(), best: count().optional() }).nullable(),
  }),
);

/** What earlier versions wrote of a rule, proven or not. */
const earlierGating = schema(() => fields().strict());

const gating = schema((z) =>
  fields().extend({
    chosenBy: z.enum(["scores", "logits", "sigmoid", "token_id"]),
    weighted: z.enum(["outputs", "inputs"]),
  }),
);

/** A `MoeInfo` as JSON, of this version or an earlier one; see {@link withCurrentMoe}. */
export const moeRecord = schema((z) =>
  z
    .object({
      layers: z.array(count()).readonly(),
      experts: count(),
      topK: count(),
      sharedExperts: count(),
      zeroExperts: count().optional(),
      gating: z.union([gating(), earlierGating()]).nullable(),
      byLayer: z
        .array(z.object({ experts: count(), topK: count(), gating: gating().nullable() }))
        .readonly()
        .optional(),
    })
    .refine(({ layers, byLayer }) => !byLayer || byLayer.length === layers.length, {
      path: ["byLayer"],
      error: "not one entry a layer",
    }),
);

type MoeRecord = Parsed<typeof moeRecord>;

/**
 * A model's record with the routing that this version describes it with.
 *
 * @param engine what ran the model: names of architectures are llama.cpp's or vLLM's.
 */
export function withCurrentMoe<M extends { readonly architecture: string; readonly moe: MoeRecord | null }>(
  model: M,
  engine: string,
): Omit<M, "moe"> & { moe: MoeInfo | null } {
  const { architecture, moe } = model;
  if (!moe) return { ...model, moe };
  const rule = engine === "llama.cpp" ? knownRule(architecture) : null;
  const { byLayer, ...whole } = moe;
  return {
    ...model,
    moe: {
      ...whole,
      gating: currentGating(moe.gating, rule),
      ...(byLayer && {
        byLayer: byLayer.map((layer) => ({ ...layer, gating: currentGating(layer.gating, rule) })),
      }),
    },
  };
}

/**
 * Earlier versions took the rules of llama.cpp's architectures from a list that had faults, and wrote a default where
 * they knew nothing. What llama.cpp's code fixes is corrected; what they read from the file is kept; all else is not
 * known.
 */
function currentGating(written: MoeRecord["gating"], rule: KnownRule | null): Gating | null {
  if (written === null) return null;
  const groups = currentGroups(written.groups, rule);
  if (groups === undefined) return null;
  if ("chosenBy" in written) return { ...written, groups };
  if (!rule || rule.byToken !== undefined || typeof rule.scoreDefault === "object") return null;
  const { score, normalize, scale, selectionBias } = rule;
  return {
    score: score === "file" ? written.score : score,
    chosenBy: rule.chosenBy ?? "scores",
    normalize: normalize === "file" ? written.normalize : normalize,
    scale: scale === "file" ? written.scale : scale,
    selectionBias: selectionBias && written.selectionBias,
    groups,
    weighted: rule.weighted ?? "outputs",
  };
}

/** `undefined`: what its groups are judged by is not known. */
function currentGroups(
  groups: NonNullable<MoeRecord["gating"]>["groups"],
  rule: KnownRule | null,
): Gating["groups"] | undefined {
  if (groups === null) return null;
  const best = groups.best ?? (rule && GROUP_BEST);
  return best === null ? undefined : { ...groups, best };
}
