import type { PlannedEdit } from "../../../core/planned-edit.ts";
import type { EngineRequest } from "../../../core/request.ts";
import type { LayerRoutes } from "../tap/layer-routes.ts";

/**
 * What is computed with a row of a table, at a point of a layer (see `edit-points.ts`). The weights are multiplied
 * first, so that 0 takes them out and others can be put in.
 */
export const EDIT_OPS = {
  logits: { point: "logits", op: "ADD" },
  choice: { point: "choice", op: "ADD" },
  gathered: { point: "gathered", op: "MUL" },
  gathered_logits: { point: "gathered", op: "ADD" },
  kept_weights: { point: "weights", op: "MUL" },
  weights: { point: "weights", op: "ADD" },
  output: { point: "output", op: "ADD" },
} as const;
export type EditOp = keyof typeof EDIT_OPS;

/** What changes nothing: also the sign of a zero stays when -0 is added. */
export const NEUTRAL = { ADD: -0, MUL: 1 } as const;

/** Where a graph is changed. Plain data: graphs with the same layout are alike. */
export interface EditLayout {
  /** In the order in which they are applied to one tensor. */
  readonly places: readonly { readonly layer: number; readonly op: EditOp }[];
  /** Layers that use fewer experts, and how many. */
  readonly topK: readonly (readonly [layer: number, topK: number])[];
}

const ORDER = Object.keys(EDIT_OPS) as EditOp[];

/** Where the edits of a run's requests change the graph; `null`: nowhere. */
export function editLayout(requests: readonly EngineRequest[], routes: LayerRoutes): EditLayout | null {
  const edits = new Set(requests.flatMap(({ edits = [] }) => edits));
  const places = new Map<string, EditLayout["places"][number]>();
  const topK = new Map<number, number>();
  for (const edit of edits)
    for (const layer of edit.layers) {
      for (const op of opsOf(edit, layer, routes)) places.set(`${layer} ${op}`, { layer, op });
      if (edit.kind === "topK") topK.set(layer, Math.min(edit.topK, topK.get(layer) ?? edit.topK));
    }
  if (places.size === 0) return null;
  return {
    places: [...places.values()].sort(
      (a, b) => a.layer - b.layer || ORDER.indexOf(a.op) - ORDER.indexOf(b.op),
    ),
    topK: [...topK].sort(([a], [b]) => a - b),
  };
}

/** The operations that an edit needs in a layer. */
function opsOf(edit: PlannedEdit, layer: number, routes: LayerRoutes): readonly EditOp[] {
  const score = routes.get(layer)?.gating?.score;
  switch (edit.kind) {
    case "add":
      return ["output"];
    case "bias":
      return ["logits"];
    case "force":
      return ["choice"];
    case "ban":
      // A softmax is taken of the others alone.
      return score === "softmax" ? ["logits", "choice"] : ["choice"];
    case "topK":
      return [gatheredOp(score)];
    case "replay":
      return edit.routes.weights ? ["choice", "kept_weights", "weights"] : ["choice"];
  }
}

/** Where a softmax of the chosen comes after, it is taken of fewer. */
export const gatheredOp = (score: string | undefined): EditOp =>
  score === "softmax_topk" ? "gathered_logits" : "gathered";

/** Why a model on a GPU is not edited. */
export const ON_CPU_ONLY = "moescope edits what the CPU computes: load the model with gpu: false";
