import type { HostOptions } from "../host/protocol.ts";
import { PROBE_TOKENS } from "../tap/first-look.ts";
import type { Purpose } from "./purpose.ts";

type Options = Pick<HostOptions, "batchSize" | "contextSize">;

/** llama.cpp's ubatch: where prompts go in whole, it holds the longest. */
export const stepSize = ({ whole }: Purpose, { batchSize, contextSize }: Options): number =>
  Math.max(PROBE_TOKENS, batchSize, whole ? contextSize : 0);

/** llama.cpp makes a cache's cells in multiples of this. */
const CELLS = 256;

/**
 * What a context is made for. For pooling llama.cpp reserves a graph with as many tokens as a step and the cache allow,
 * and asserts that the sequences share them evenly: powers of two do.
 */
export function contextSizes(
  purpose: Purpose,
  parallel: number,
  options: Options,
): { readonly step: number; readonly context: number; readonly sequences: number } {
  const step = stepSize(purpose, options);
  const context = Math.max(PROBE_TOKENS, options.contextSize);
  if (purpose.embedding === null) return { step, context, sequences: parallel };
  const up = (size: number, to: number) => Math.ceil(size / to) * to;
  const sequences = 2 ** Math.ceil(Math.log2(parallel));
  return { step: up(step, sequences), context: up(context, CELLS), sequences };
}

/** Whether one context serves two purposes. */
export const sameContext = (a: Purpose, b: Purpose): boolean =>
  a.whole === b.whole && a.embedding?.pooling === b.embedding?.pooling;
