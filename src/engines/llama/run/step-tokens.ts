import { availableMemory } from "../../../core/available-memory.ts";
import { RequestError } from "../../../core/errors.ts";
import type { Plan } from "../../../core/plan.ts";
import type { EngineRequest } from "../../../core/request.ts";
import { needsAttentionSteps } from "../graph/graph-taps.ts";

/** What the captured tensors of a step may take, in bytes; attention of a long context would take many GB. */
const MAX_STEP_BYTES = 256 << 20;
/** llama.cpp computes attention over the cells in use, in multiples of this. */
const CELLS = 256;

/** How many tokens a step may have for what is captured of it to stay within bounds; at least one. */
export function stepTokens(plan: Plan, requests: readonly EngineRequest[]): number {
  return Math.max(1, Math.floor(MAX_STEP_BYTES / Math.max(1, tokenBytes(plan, longestOf(requests)))));
}

/**
 * Check that what is captured of the longest prompt can be in memory at once, where prompts go in whole.
 *
 * @throws RequestError `CAPTURE_TOO_LARGE`.
 */
export function assertStepFits(plan: Plan, requests: readonly EngineRequest[]): void {
  const longest = longestOf(requests);
  const bytes = longest * tokenBytes(plan, longest);
  const free = availableMemory();
  if (bytes <= free) return;
  const gib = (n: number) => `${(n / 2 ** 30).toFixed(1)} GiB`;
  throw new RequestError(
    "CAPTURE_TOO_LARGE",
    `the longest prompt has ${longest} tokens and goes through the model in one step, of which ${gib(bytes)} are to ` +
      `be captured; ${gib(free)} of memory are free: leave out layers or streams, or shorten the prompt`,
  );
}

const longestOf = (requests: readonly EngineRequest[]) =>
  requests.reduce((longest, { tokens, maxTokens }) => Math.max(longest, tokens.length + maxTokens), 0);

/** Bytes that are captured of a token, in a step that sees `longest` tokens. */
function tokenBytes(plan: Plan, longest: number): number {
  const cells = Math.ceil(longest / CELLS) * CELLS;
  let bytes = 0;
  for (const { name, dims = [] } of plan.streams)
    for (const sizes of dims) {
      // Both streams of attention are read from one tensor.
      if (name === "attention_keys") continue;
      const [heads = 1] = sizes;
      bytes += 4 * (needsAttentionSteps([name]) ? heads * cells : sizes.reduce((all, size) => all * size, 1));
    }
  return bytes;
}
