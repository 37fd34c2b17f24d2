import type { Capture } from "../capture/capture.ts";
import type { Finished } from "../core/request.ts";

/** What was generated of a sample, with the ids of its prompt. */
export interface Output extends Finished {
  /** Token ids of the prompt, with what the tokenizer or the chat template added. */
  readonly promptTokenIds: Int32Array;
}

/** One entry a sample. */
export type Outputs = readonly Output[];

/** The outputs of a capture that this process made: it knows the prompts. */
export function outputsOf(capture: Capture): Outputs {
  return capture.outputs.map((output) => ({
    ...output,
    promptTokenIds: capture.promptTokens(output.sample)!,
  }));
}
