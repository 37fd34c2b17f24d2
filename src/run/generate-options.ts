import { RequestError } from "../core/errors.ts";
import type { Sampling } from "../core/request.ts";

/** How to generate; {@link Sampling} with its defaults. */
export interface GenerateOptions extends Partial<Sampling> {
  /** Tokens to generate after each prompt. Default 0: the prompt only. */
  readonly maxTokens?: number;
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

/**
 * The options with their defaults.
 *
 * @throws RequestError `INVALID_ARGUMENT` naming the option and its limits.
 */
export function checkGeneration(options: GenerateOptions): { maxTokens: number; sampling: Sampling } {
  const maxTokens = options.maxTokens ?? 0;
  const sampling: Sampling = {
    temperature: options.temperature ?? GREEDY.temperature,
    topK: options.topK ?? GREEDY.topK,
    topP: options.topP ?? GREEDY.topP,
    minP: options.minP ?? GREEDY.minP,
    seed: options.seed ?? GREEDY.seed,
    stop: options.stop ?? GREEDY.stop,
    ignoreEos: options.ignoreEos ?? GREEDY.ignoreEos,
  };
  const must = (ok: boolean, what: string) => {
    if (!ok) throw new RequestError("INVALID_ARGUMENT", what);
  };
  must(
    Number.isInteger(maxTokens) && maxTokens >= 0,
    `maxTokens must be a whole number from 0, got ${maxTokens}`,
  );
  must(
    sampling.temperature >= 0 && sampling.temperature < Infinity,
    `temperature must be 0 or more, got ${sampling.temperature}`,
  );
  must(
    Number.isInteger(sampling.topK) && sampling.topK >= 0,
    `topK must be a whole number from 0, got ${sampling.topK}`,
  );
  must(sampling.topP > 0 && sampling.topP <= 1, `topP must be in (0, 1], got ${sampling.topP}`);
  must(sampling.minP >= 0 && sampling.minP < 1, `minP must be in [0, 1), got ${sampling.minP}`);
  must(
    Number.isInteger(sampling.seed) && sampling.seed >= 0 && sampling.seed <= 0xffffffff,
    `seed must be a whole number from 0 to 4294967295, got ${sampling.seed}`,
  );
  must(
    sampling.stop.every((stop) => typeof stop === "string" && stop.length > 0),
    "stop must hold non-empty strings",
  );
  return { maxTokens, sampling };
}
