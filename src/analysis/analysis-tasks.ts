import type { Capture } from "../capture/capture.ts";
import { analyzeLayer, type LayerFindings, type TestSettings } from "./analyze-layer.ts";
import type { LayerFlow, RoutingPaths } from "./capture-analysis.ts";
import { layerFlow } from "./measures/flows.ts";
import { pathSegments, routingPaths } from "./measures/paths.ts";
import { type RowContext, rowContext } from "./rows/row-context.ts";

/** A part of an analysis that needs nothing of the others. Plain data, as are the results: both cross threads. */
export type AnalysisTask =
  | { readonly kind: "layer"; readonly layer: number }
  | { readonly kind: "flow"; readonly from: number; readonly to: number }
  | { readonly kind: "paths"; readonly layers: readonly number[] };

/** What each kind of task gives. */
export type TaskResult =
  | { readonly kind: "layer"; readonly found: LayerFindings }
  | { readonly kind: "flow"; readonly found: LayerFlow }
  | { readonly kind: "paths"; readonly found: RoutingPaths };

/** All parts of an analysis of some layers, the longest first. */
export function analysisTasks(layers: readonly number[], experts: number): AnalysisTask[] {
  return [
    ...layers.map((layer) => ({ kind: "layer", layer }) as const),
    ...pathSegments(layers, experts).map((segment) => ({ kind: "paths", layers: segment }) as const),
    ...layers.slice(1).map((to, i) => ({ kind: "flow", from: layers[i]!, to }) as const),
  ];
}

/** What does the tasks of one capture. */
export function taskRunner(capture: Capture, settings: TestSettings): (task: AnalysisTask) => TaskResult {
  let context: RowContext | null = null;
  return (task) => {
    switch (task.kind) {
      case "layer":
        context ??= rowContext(capture);
        return { kind: "layer", found: analyzeLayer(capture, task.layer, context, settings) };
      case "flow":
        return { kind: "flow", found: layerFlow(capture, task.from, task.to) };
      case "paths":
        return { kind: "paths", found: routingPaths(capture, task.layers) };
    }
  };
}
