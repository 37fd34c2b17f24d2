import { z } from "zod";
import type { EmbeddingInfo } from "../../../core/embedding.ts";
import { EngineError } from "../../../core/errors.ts";
import type { EngineRequest, Finished, FinishReason, MediaPrompt } from "../../../core/request.ts";
import { finished, outputOf } from "../protocol.ts";
import { inlineImages } from "./inline-images.ts";
import type { ServerClient } from "./server-client.ts";

/** A sample whose output will not come, while the others' may. */
export interface Lost {
  readonly sample: number;
  readonly lost: string;
  /** What was thrown, if anything was. */
  readonly error?: EngineError;
}

/** Requests that are sent and not answered yet, per run; vLLM schedules them, and more would only wait there. */
const CONCURRENT = 128;

const count = z.int().nonnegative();

const completion = z.object({
  choices: z
    .array(
      z.object({
        text: z.string(),
        finish_reason: z.string().nullable(),
        stop_reason: z.union([z.string(), z.number()]).nullish(),
        token_ids: z.array(count),
      }),
    )
    .length(1),
});

const completed = finished.omit({ sample: true });

const vector = z.array(z.number());
const embedded = z.object({ data: z.array(z.object({ embedding: vector })).length(1) });
const classified = z.object({ data: z.array(z.object({ probs: vector })).length(1) });

/** Sends the samples of a capture to a `vllm serve`, each as a request of its own. */
export class ServerRequests {
  readonly #client: ServerClient;
  /** What the server calls the model. */
  readonly #served: string;
  /** How it makes vectors; `null`: it generates. */
  readonly #embedding: EmbeddingInfo | null;

  constructor(client: ServerClient, served: string, embedding: EmbeddingInfo | null) {
    this.#client = client;
    this.#served = served;
    this.#embedding = embedding;
  }

  /**
   * A bounded number at a time; one promise each. What the server or the connection fails in concerns one sample; a request
   * that is wrong rejects.
   *
   * @param key of the capture.
   */
  send(requests: readonly EngineRequest[], key: string, signal: AbortSignal): Promise<Finished | Lost>[] {
    const running: Promise<unknown>[] = [];
    return requests.map(async (request, sample) => {
      const before = sample >= CONCURRENT ? running[sample - CONCURRENT] : undefined;
      const answer = (before ?? Promise.resolve()).then(() => this.#ask(request, sample, key, signal));
      running[sample] = answer.catch(() => {});
      return answer;
    });
  }

  async #ask(
    request: EngineRequest,
    sample: number,
    key: string,
    signal: AbortSignal,
  ): Promise<Finished | Lost> {
    try {
      if (this.#embedding) return await this.#embed(request, sample, key, this.#embedding, signal);
      if (request.media) return await this.#completeWithImages(request.media, request, sample, key, signal);
      return await this.#complete(request, sample, key, signal);
    } catch (error) {
      if (!(error instanceof EngineError) || signal.aborted) throw error;
      return { sample, lost: error.message, error };
    }
  }

  async #complete(
    { tokens, maxTokens, sampling }: EngineRequest,
    sample: number,
    key: string,
    signal: AbortSignal,
  ): Promise<Finished | Lost> {
    const body = {
      model: this.#served,
      prompt: [...tokens],
      // vLLM draws one at least; with 0 it is not part of the output.
      max_tokens: Math.max(1, maxTokens),
      temperature: sampling.temperature,
      top_k: sampling.topK,
      top_p: sampling.topP,
      min_p: sampling.minP,
      seed: sampling.seed,
      stop: sampling.stop,
      ignore_eos: sampling.ignoreEos,
      return_token_ids: true,
      vllm_xargs: { moescope: key, moescope_sample: sample },
    };
    const answer = await this.#client.compute("/v1/completions", body, completion, signal);
    const { text, token_ids: ids, finish_reason, stop_reason } = answer.choices[0]!;
    const reason = reasonOf(finish_reason, stop_reason);
    if (!reason) return { sample, lost: `vLLM ended its request with "${finish_reason}"` };
    if (maxTokens === 0) return promptOnly(sample);
    return { sample, tokens: Int32Array.from(ids), text, reason };
  }

  /** vLLM's own route for prompts takes no images. */
  async #completeWithImages(
    { prompt, images }: MediaPrompt,
    { maxTokens, sampling }: EngineRequest,
    sample: number,
    key: string,
    signal: AbortSignal,
  ): Promise<Finished | Lost> {
    const body = { prompt, images: await inlineImages(images, signal), maxTokens, sampling, key, sample };
    const answer = await this.#client.compute("/v1/moescope/completions", body, completed, signal);
    const output = outputOf({ ...answer, sample });
    if (!output) return { sample, lost: `vLLM gave its request up (${answer.reason})` };
    return maxTokens === 0 ? promptOnly(sample) : output;
  }

  async #embed(
    { tokens }: EngineRequest,
    sample: number,
    key: string,
    { pooling }: EmbeddingInfo,
    signal: AbortSignal,
  ): Promise<Finished> {
    const body = {
      model: this.#served,
      input: [...tokens],
      vllm_xargs: { moescope: key, moescope_sample: sample },
    };
    const values =
      pooling === "rank"
        ? (await this.#client.compute("/classify", body, classified, signal)).data[0]!.probs
        : (await this.#client.compute("/v1/embeddings", body, embedded, signal)).data[0]!.embedding;
    return { ...promptOnly(sample), embedding: Float32Array.from(values) };
  }
}

/** The one token that vLLM draws is not told. */
const promptOnly = (sample: number): Finished => ({
  sample,
  tokens: new Int32Array(0),
  text: "",
  reason: "length",
});

/** @returns `null` where vLLM gave the request up. */
function reasonOf(finish: string | null, stop: string | number | null | undefined): FinishReason | null {
  if (finish === "length") return "length";
  if (finish === "repetition") return "stop";
  if (finish !== "stop") return null;
  return typeof stop === "string" ? "stop" : "eos";
}
