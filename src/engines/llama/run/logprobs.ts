import { EngineError } from "../../../core/errors.ts";
import type { Llama } from "../native/bindings.ts";
import { floatsAt } from "../native/native-memory.ts";
import type { Pointer } from "../native/pointers.ts";
import type { Chunk, Running } from "./batch.ts";

/**
 * Natural log-probabilities of tokens by the model's own distribution: the log-softmax of its logits, before temperature
 * and the other ways to draw, as vLLM's `raw_logprobs`.
 */
export class Logprobs {
  readonly #llama: Llama;
  readonly #vocabSize: number;
  /** By sample that runs, of the tokens of its prompt. The first one has none. */
  readonly #prompts = new Map<Running, Float32Array>();

  constructor(llama: Llama, vocabSize: number) {
    this.#llama = llama;
    this.#vocabSize = vocabSize;
  }

  /** The step's tokens whose logits tell how likely the next token of a prompt is. */
  wanted(chunks: readonly Chunk[]): number[] {
    return forEachWanted(chunks, ({ index }) => index);
  }

  /** Take them from the step that was computed. */
  take(context: Pointer, chunks: readonly Chunk[]): void {
    forEachWanted(chunks, ({ running, position, index }) => {
      const { tokens } = running.request;
      const found = this.#prompts.get(running) ?? new Float32Array(tokens.length).fill(Number.NaN);
      this.#prompts.set(running, found);
      found[position + 1] = this.of(context, index, tokens[position + 1]!);
    });
  }

  /** Of a token that follows the one at `index` of the last step. */
  of(context: Pointer, index: number, token: number): number {
    const address = this.#llama.logitsOf(context, index);
    if (address === null)
      throw new EngineError("ENGINE_FAILED", `llama.cpp has no logits of token ${index} of a step`);
    const logits = floatsAt(address, this.#vocabSize);
    let most = Number.NEGATIVE_INFINITY;
    for (const logit of logits) if (logit > most) most = logit;
    let sum = 0;
    for (const logit of logits) sum += Math.exp(logit - most);
    return logits[token]! - most - Math.log(sum);
  }

  /** Of the prompt of a sample that has ended, if they were asked for. */
  end(running: Running): { promptLogprobs?: Float32Array } {
    if (!running.request.logprobs?.prompt) return {};
    const { length } = running.request.tokens;
    const promptLogprobs = this.#prompts.get(running) ?? new Float32Array(length).fill(Number.NaN);
    this.#prompts.delete(running);
    return { promptLogprobs };
  }
}

function forEachWanted<T>(
  chunks: readonly Chunk[],
  visit: (token: { readonly running: Running; readonly position: number; readonly index: number }) => T,
): T[] {
  const found: T[] = [];
  let index = 0;
  for (const { running, from, count } of chunks)
    for (let position = from; position < from + count; position++, index++)
      if (running.request.logprobs?.prompt && position < running.request.tokens.length - 1)
        found.push(visit({ running, position, index }));
  return found;
}
