import type { ModelLosses } from "../../../analysis/measures/router-losses.ts";
import type { CaptureAnalysis } from "../../facts/analysis.ts";
import { inColumn } from "../../numbers.ts";
import { bold, dim } from "../parts/paint.ts";
import type { Terminal } from "../terminal.ts";

/** Layers named. */
const MAX_LAYERS = 5;

/** What training would add to the loss: of all layers together, and where it comes from. */
export function routerLossView({ layers, modelLosses }: CaptureAnalysis, { depth }: Terminal): string[] {
  const found = layers.flatMap(({ layer, routerLosses }) =>
    routerLosses ? [{ layer, ...routerLosses }] : [],
  );
  if (found.length === 0) return [];
  const worst = [...found]
    .sort((a, b) => b.loadBalancing / b.even - a.loadBalancing / a.even || a.layer - b.layer)
    .slice(0, MAX_LAYERS)
    .map(({ layer, loadBalancing }) => `L${layer} ${inColumn(loadBalancing)}`);
  const own = found.find((of) => of.own)?.own;
  const lost = found.reduce((sum, { notFinite }) => sum + notFinite, 0);
  return [
    bold(depth, "Router losses, as training would add them"),
    ...(modelLosses ? [`  ${lossLine(modelLosses)}`] : []),
    `  greatest load-balancing loss by layer: ${worst.join(" · ")}`,
    ...(own
      ? [
          dim(
            depth,
            `  of softmax, as transformers has it; --json also has it by the gate's own ${own.score} scores`,
          ),
        ]
      : []),
    ...(lost > 0 ? [dim(depth, `  ${lost} rows left out: their logits are not finite`)] : []),
  ];
}

/** The losses of all layers together. */
export const lossLine = ({ loadBalancing, even, zLoss }: ModelLosses): string =>
  `load-balancing loss ${loadBalancing.toFixed(3)} (${even} is even) · z-loss ${inColumn(zLoss)}`;
