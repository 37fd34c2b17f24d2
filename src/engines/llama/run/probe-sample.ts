import type { Running } from "./batch.ts";

/** A sample of tokens 0, which any model has, for graphs that are built and not run. */
export const SAMPLE: Omit<Running, "tokens" | "length"> = {
  sample: 0,
  sequence: 0,
  fed: 0,
  request: {
    tokens: new Int32Array(0),
    maxTokens: 0,
    sampling: { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0, stop: [], ignoreEos: true },
  },
};
