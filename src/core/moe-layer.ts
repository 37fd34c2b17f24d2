import { RequestError } from "./errors.ts";
import { largest } from "./extremes.ts";
import type { MoeInfo, MoeLayer } from "./model-info.ts";

/**
 * The routing of one MoE layer of a model: its number of experts, how many of them a token uses, and the rule.
 *
 * @param layer 0-based, one of `moe.layers`.
 * @throws RequestError `UNKNOWN_LAYER` for a layer without a router.
 * @example
 * import { moeLayer } from "moescope";
 * const { topK, gating } = moeLayer(llm.info.moe!, 5);
 */
export function moeLayer(moe: MoeInfo, layer: number): MoeLayer {
  const index = moe.layers.indexOf(layer);
  if (index < 0)
    throw new RequestError(
      "UNKNOWN_LAYER",
      `layer ${layer} has no router; the MoE layers are ${moe.layers.join(", ")}, counted from 0`,
    );
  return moe.byLayer?.[index] ?? moe;
}

/**
 * Describe a model's routing by its layers.
 *
 * @param layers 0-based indices of the MoE layers, at least one.
 * @param each what each of them has, in the same order.
 */
export function moeInfo(
  layers: readonly number[],
  each: readonly MoeLayer[],
  sharedExperts: number,
): MoeInfo {
  const distinct = new Set(each.map((layer) => JSON.stringify(layer)));
  const gatings = new Set(each.map(({ gating }) => JSON.stringify(gating)));
  return {
    layers,
    experts: largest(each.map(({ experts }) => experts)),
    topK: largest(each.map(({ topK }) => topK)),
    sharedExperts,
    gating: gatings.size === 1 ? each[0]!.gating : null,
    ...(distinct.size > 1 && { byLayer: each }),
  };
}
