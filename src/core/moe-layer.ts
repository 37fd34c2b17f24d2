import { largest } from "./extremes.ts";
import type { MoeInfo, MoeLayer } from "./model-info.ts";

/**
 * The routing of one MoE layer of a model.
 *
 * @param layer 0-based, one of `moe.layers`.
 * @example
 * const { topK, gating } = moeLayer(llm.info.moe!, 5);
 */
export function moeLayer(moe: MoeInfo, layer: number): MoeLayer {
  return moe.byLayer?.[moe.layers.indexOf(layer)] ?? moe;
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
