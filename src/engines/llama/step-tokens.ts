import type { Plan } from "../../capture/plan.ts";
import type { EngineRequest } from "../engine.ts";
import { needsAttentionSteps } from "./taps.ts";

/** What the captured tensors of a step may take, in bytes; attention of a long context would take many GB. */
const MAX_STEP_BYTES = 256 << 20;
/** llama.cpp computes attention over the cells in use, in multiples of this. */
const CELLS = 256;

/** How many tokens a step may have for what is captured of it to stay within bounds; at least one. */
export function stepTokens(plan: Plan, requests: readonly EngineRequest[]): number {
  const longest = Math.max(...requests.map(({ tokens, maxTokens }) => tokens.length + maxTokens));
  const cells = Math.ceil(longest / CELLS) * CELLS;
  let bytes = 0;
  for (const { name, dims = [] } of plan.streams)
    for (const sizes of dims) {
      // Both streams of attention are read from one tensor.
      if (name === "attention_keys") continue;
      const [heads = 1] = sizes;
      bytes += 4 * (needsAttentionSteps([name]) ? heads * cells : sizes.reduce((all, size) => all * size, 1));
    }
  return Math.max(1, Math.floor(MAX_STEP_BYTES / Math.max(1, bytes)));
}
