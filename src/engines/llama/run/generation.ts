import { largest, smallest } from "../../../core/extremes.ts";
import type { Finished, FinishReason, Sampling } from "../../../core/request.ts";
import type { Llama } from "../native/bindings.ts";
import type { Pointer } from "../native/pointers.ts";
import type { Running } from "./batch.ts";
import type { Logprobs } from "./logprobs.ts";
import type { Vocabulary } from "./vocabulary.ts";

/** Draws a sample's tokens with llama.cpp's own samplers and notices its end. */
export class Generation {
  readonly #llama: Llama;
  readonly #vocabulary: Vocabulary;
  readonly #running: Running;
  readonly #chain: Pointer;
  readonly #logprobs: Logprobs;
  readonly #drawn: number[] = [];
  readonly #decoder = new TextDecoder("utf-8", { ignoreBOM: true });
  #text = "";
  /** Characters of the longest stop string. */
  readonly #longestStop: number;

  constructor(llama: Llama, vocabulary: Vocabulary, running: Running, logprobs: Logprobs) {
    this.#llama = llama;
    this.#logprobs = logprobs;
    this.#vocabulary = vocabulary;
    this.#running = running;
    this.#chain = makeChain(llama, running.request.sampling);
    this.#longestStop = Math.max(0, largest(running.request.sampling.stop.map(({ length }) => length)));
  }

  /** Draw the next token from the logits at `index` of the last step; gives the end, if this was it. */
  draw(context: Pointer, index: number): { token: number; finished: Finished | null } {
    const running = this.#running;
    const { sampling, maxTokens, tokens: prompt } = running.request;
    const token = this.#llama.sample(this.#chain, context, index);
    running.tokens[running.length++] = token;
    if (running.request.logprobs?.generated) this.#drawn.push(this.#logprobs.of(context, index, token));
    if (!sampling.ignoreEos && this.#vocabulary.isEndOfGeneration(token))
      return { token, finished: this.#end("eos") };
    // A stop string that ends in the new text may begin before it; what is older was searched already.
    const from = Math.max(0, this.#text.length - this.#longestStop + 1);
    this.#text += this.#decoder.decode(this.#vocabulary.bytes(token, false), { stream: true });
    const cut = firstStop(this.#text, sampling.stop, from);
    if (cut >= 0) {
      this.#text = this.#text.slice(0, cut);
      return { token, finished: this.#end("stop") };
    }
    if (running.length - prompt.length >= maxTokens) {
      this.#text += this.#decoder.decode();
      return { token, finished: this.#end("length") };
    }
    return { token, finished: null };
  }

  free(): void {
    this.#llama.freeSampler(this.#chain);
  }

  #end(reason: FinishReason): Finished {
    const { sample, tokens, length, request } = this.#running;
    return {
      sample,
      tokens: tokens.slice(request.tokens.length, length),
      text: this.#text,
      reason,
      ...(request.logprobs?.generated && { logprobs: Float32Array.from(this.#drawn) }),
    };
  }
}

function makeChain(llama: Llama, { temperature, topK, topP, minP, seed }: Sampling): Pointer {
  const chain = llama.samplerChain({ no_perf: true });
  if (temperature === 0) {
    llama.addSampler(chain, llama.greedySampler());
    return chain;
  }
  // The order of llama.cpp's default chain: cut the tail first, then set the temperature.
  if (topK > 0) llama.addSampler(chain, llama.topKSampler(topK));
  if (topP < 1) llama.addSampler(chain, llama.topPSampler(topP, 1));
  if (minP > 0) llama.addSampler(chain, llama.minPSampler(minP, 1));
  llama.addSampler(chain, llama.temperatureSampler(temperature));
  llama.addSampler(chain, llama.distributionSampler(seed));
  return chain;
}

/** Where the earliest stop string at or after `from` begins, or -1. */
function firstStop(text: string, stops: readonly string[], from: number): number {
  if (stops.length === 0) return -1;
  const found = stops.map((stop) => text.indexOf(stop, from)).filter((index) => index >= 0);
  return found.length > 0 ? smallest(found) : -1;
}
