import { RequestError } from "../../../core/errors.ts";
import { nearMiss } from "../../../core/near-miss.ts";
import { abortSignal, oneOf, optionsReader, text } from "../../../core/options.ts";
import { urlError } from "../../../sources/reference.ts";
import { urlAdvice } from "../../../sources/reference-advice.ts";
import type { EngineEntry } from "../../entry.ts";
import { sets } from "../../flag.ts";
import type { ServerOptions } from "./server-engine.ts";

/** A `vllm serve` that is running. */
export interface ServerLoadOptions extends ServerOptions {
  readonly engine?: "vllm";
  readonly signal?: AbortSignal;
}

const KNOWN = ["engine", "signal", "apiKey"];

const read = optionsReader<ServerLoadOptions>("load", {
  engine: oneOf(["vllm"]),
  signal: abortSignal,
  apiKey: text,
});

/** A `vllm serve` that has the plugin, somewhere else. */
export const vllmServerEntry: EngineEntry<ServerLoadOptions> = {
  name: "vllm",
  title: "a server that is running",
  references: "http://host:8000",

  accepts(reference) {
    if (!/^https?:\/\//i.test(reference)) return null;
    return urlAdvice(reference) === null ? "own" : { refused: urlError(reference).message };
  },

  /** What is no option here may be one of a model that is loaded: the server is as it was started. */
  options: async () => (given) => {
    for (const name of Object.keys(given))
      if (!KNOWN.includes(name) && nearMiss(name, KNOWN) === null)
        throw new RequestError("INVALID_ARGUMENT", `${name} cannot be set for a server that is running`);
    return read(given);
  },

  flags: [
    sets(
      {
        name: "apiKey",
        placeholder: "<key>",
        type: { is: "text" },
        help: "of a server (default: VLLM_API_KEY)",
      },
      (apiKey: string) => ({ apiKey }),
    ),
  ],

  async load(reference, { engine: _, signal, ...options }) {
    const { VllmServerEngine } = await import("./server-engine.ts");
    return VllmServerEngine.attach(reference, options, signal);
  },

  loading: "Loading the model",
};
