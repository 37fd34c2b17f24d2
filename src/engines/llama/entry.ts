import { oneOf, optionsReader } from "../../core/options.ts";
import { urlError } from "../../sources/reference.ts";
import { urlAdvice } from "../../sources/reference-advice.ts";
import { type ReferenceOptions, referenceFields } from "../../sources/reference-options.ts";
import type { EngineEntry } from "../entry.ts";
import { llamaDoctor } from "./doctor.ts";
import { LLAMA_FLAGS } from "./flags.ts";
import type { LlamaOptions } from "./options.ts";

/** A model in a file, wherever it lies. */
export const MODEL_FILE = "a .gguf file, hf:org/repo:QUANT, ollama:name:tag or lmstudio:publisher/model";

/** A model in the embedded llama.cpp. */
export interface LlamaLoadOptions extends LlamaOptions, ReferenceOptions {
  readonly engine?: "llama.cpp";
}

/** llama.cpp in a thread or a process beside this one: GGUF files. */
export const llamaEntry: EngineEntry<LlamaLoadOptions> = {
  name: "llama.cpp",
  title: "llama.cpp",
  references: MODEL_FILE,

  accepts(reference) {
    if (/^https?:\/\//i.test(reference))
      return {
        refused:
          urlAdvice(reference) === null
            ? "engine cannot be set for a server that is running"
            : urlError(reference).message,
      };
    return /\.gguf$|^(hf|ollama|lmstudio):/i.test(reference) ? "own" : "possible";
  },

  async options() {
    const { llamaFields } = await import("./options.ts");
    return optionsReader<LlamaLoadOptions>("load", {
      ...llamaFields,
      ...referenceFields,
      engine: oneOf(["llama.cpp"]),
    });
  },

  flags: LLAMA_FLAGS,

  async load(reference, { engine: _, signal, onProgress, ...options }) {
    const { resolveModel, warnOfNotes } = await import("../../sources/resolve.ts");
    const { path, source, notes } = await resolveModel(reference, { signal, onProgress });
    warnOfNotes(notes);
    const { LlamaEngine } = await import("./engine.ts");
    return LlamaEngine.load(path, options, { source, ...(signal && { signal }) });
  },

  loading: "Loading the model",
  watch: (tell) => ({
    onProgress: ({ bytes, total }) => tell({ text: "Downloading", bytes: { done: bytes, total } }),
  }),
  doctor: llamaDoctor,
};
