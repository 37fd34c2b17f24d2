import { RequestError } from "../core/errors.ts";
import { type Fields, flag, list, number, whole } from "../core/options.ts";
import type { Sampling, WantedLogprobs } from "../core/request.ts";

/** How to generate; {@link Sampling} with its defaults. */
export interface GenerateOptions extends Partial<Sampling> {
  /** Tokens to generate after each prompt. Default 0: the prompt only. */
  readonly maxTokens?: number;
  /**
   * Samples of each prompt, one after the other, each with the seed after the one before: sample `i * n + k` is the k-th of
   * prompt i. Above 1 a `temperature` above 0 is needed. Default 1.
   */
  readonly n?: number;
  /** Whether `outputs[].logprobs` tells how likely each generated token was. Default `false`. */
  readonly logprobs?: boolean;
  /** Whether `outputs[].promptLogprobs` tells how likely each token of the prompt was. Default `false`. */
  readonly promptLogprobs?: boolean;
}

const GREEDY: Sampling = {
  temperature: 0,
  topK: 0,
  topP: 1,
  minP: 0,
  seed: 0,
  stop: [],
  ignoreEos: false,
};

/** The options of generation, with their limits. */
export const generateFields: Fields<GenerateOptions> = {
  maxTokens: whole(0),
  n: whole(1, 2 ** 20),
  logprobs: flag,
  promptLogprobs: flag,
  temperature: number("from 0", (value) => value >= 0),
  topK: whole(0),
  topP: number("above 0, to 1", (value) => value > 0 && value <= 1),
  minP: number("from 0, below 1", (value) => value >= 0 && value < 1),
  seed: whole(0, 0xffffffff),
  stop: list((value, name) => {
    if (typeof value === "string" && value !== "") return value;
    throw new RequestError("INVALID_ARGUMENT", `${name} must be text that is not empty`);
  }),
  ignoreEos: flag,
};

/** The options, which were read with {@link generateFields}, with their defaults. */
export function generationOf({
  maxTokens = 0,
  n = 1,
  logprobs = false,
  promptLogprobs = false,
  ...given
}: GenerateOptions): {
  maxTokens: number;
  n: number;
  logprobs: WantedLogprobs | null;
  sampling: Sampling;
} {
  const names = Object.keys(GREEDY) as (keyof Sampling)[];
  const sampling = Object.fromEntries(names.map((name) => [name, given[name] ?? GREEDY[name]]));
  if (n > 1 && (maxTokens === 0 || sampling.temperature === 0))
    throw new RequestError(
      "INVALID_ARGUMENT",
      `n: ${n} samples of a prompt would all be the same; generate (maxTokens) with a temperature above 0`,
    );
  const wanted = logprobs || promptLogprobs ? { generated: logprobs, prompt: promptLogprobs } : null;
  return { maxTokens, n, logprobs: wanted, sampling: sampling as unknown as Sampling };
}
