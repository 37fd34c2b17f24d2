import type { Tensor } from "../core/tensor.ts";

/**
 * A line for each captured layer, as EasySteer's `print_moe_router_logits_summary` writes it:
 * ```
 * Captured 2 MoE layers:
 *   Layer  0: 8 tokens × 16 experts, dtype float32, device cpu
 *   Layer  1: 8 tokens × 16 experts, dtype float32, device cpu
 * ```
 * The device is always the CPU: tensors are copied there as they are captured.
 *
 * @example
 * import { formatMoeRouterLogitsSummary, hs } from "moescope";
 * const [routerLogits] = await hs.getMoeRouterLogits(llm, ["The sea is calm."]);
 * const [heading] = formatMoeRouterLogitsSummary(routerLogits).split("\n");
 * console.log(heading); // Captured 48 MoE layers:
 */
export function formatMoeRouterLogitsSummary(routerLogits: ReadonlyMap<number, Tensor>): string {
  const layers = [...routerLogits].sort(([a], [b]) => a - b);
  const lines = layers.map(([layer, { dims, type }]) => {
    const [tokens, experts] = dims;
    return `  Layer ${String(layer).padStart(2)}: ${tokens} tokens × ${experts} experts, dtype ${type}, device cpu`;
  });
  return [`Captured ${layers.length} MoE layers:`, ...lines].join("\n");
}

/**
 * Print {@link formatMoeRouterLogitsSummary} to the console.
 *
 * @example
 * import { hs } from "moescope";
 * const [routerLogits] = await hs.getMoeRouterLogits(llm, ["The sea is calm."]);
 * hs.printMoeRouterLogitsSummary(routerLogits);
 */
export function printMoeRouterLogitsSummary(routerLogits: ReadonlyMap<number, Tensor>): void {
  console.log(formatMoeRouterLogitsSummary(routerLogits));
}
