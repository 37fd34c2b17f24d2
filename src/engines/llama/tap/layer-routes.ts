import { isDeepStrictEqual } from "node:util";
import type { ModelInfo, MoeInfo, MoeLayer } from "../../../core/model-info.ts";
import { moeInfo, moeLayer } from "../../../core/moe-layer.ts";
import { ruleWords } from "../../../gating/rule-words.ts";
import { gateRule } from "../graph/gate-rule.ts";
import type { GraphTaps } from "../graph/graph-taps.ts";
import type { TensorPointer } from "../native/pointers.ts";

/** How a layer routes by its graph. */
export interface LayerRoute extends MoeLayer {
  /** Why {@link gating} is not known; `null`: it is. */
  readonly unknown: string | null;
  /** Where the selection bias lies, one number per expert; `null`: there is none. */
  readonly bias: TensorPointer | null;
}

/** By layer, where the pass through the experts is proven. */
export type LayerRoutes = ReadonlyMap<number, LayerRoute>;

/** The routing of a graph's layers. */
export function layerRoutes(taps: GraphTaps): LayerRoutes {
  const routes = new Map<number, LayerRoute>();
  for (const [layer, proof] of taps.passes()) {
    if ("refused" in proof) continue;
    const pass = proof.proven;
    const rule = gateRule(pass);
    routes.set(layer, {
      experts: pass.logits.shape[0]!,
      topK: pass.ids.shape[0]!,
      ...("proven" in rule
        ? { ...rule.proven, unknown: null }
        : { gating: null, unknown: rule.refused, bias: null }),
    });
  }
  return routes;
}

/**
 * A model's routing as its graph computes it, where that is proven; elsewhere as its file describes it.
 *
 * @returns what the file's description says otherwise, in sentences: a fault of the table of rules.
 */
export function withRoutes(
  { architecture, moe }: ModelInfo,
  routes: LayerRoutes,
): { moe: MoeInfo | null; differences: string[] } {
  if (!moe) return { moe, differences: [] };
  const differences: string[] = [];
  const each = moe.layers.map((layer): MoeLayer => {
    const described = moeLayer(moe, layer);
    const route = routes.get(layer);
    const { experts, topK, gating } = route ?? described;
    const asDescribed = {
      experts: described.experts,
      topK: described.topK,
      gating: described.gating ?? gating,
    };
    if (!isDeepStrictEqual(asDescribed, { experts, topK, gating }))
      differences.push(
        `layer ${layer} of ${architecture} is described as ${words(described)}, and computes ` +
          `${words({ experts, topK, gating })}${route?.unknown ? ` (${route.unknown})` : ""}`,
      );
    return { experts, topK, gating };
  });
  return { moe: moeInfo(moe.layers, each, moe.sharedExperts), differences };
}

const words = ({ experts, topK, gating }: MoeLayer) =>
  `${topK} of ${experts} experts by ${gating ? ruleWords(gating) : "a rule that is not known"}`;
