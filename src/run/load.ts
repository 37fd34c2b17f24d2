import type { Engine } from "../core/engine.ts";
import { RequestError } from "../core/errors.ts";
import type { ModelFile } from "../engines/llama/model/gguf.ts";
import type { LlamaOptions } from "../engines/llama/options.ts";
import type { VllmOptions } from "../engines/vllm/options.ts";
import type { ServerOptions } from "../engines/vllm/server/server-engine.ts";
import { urlError } from "../sources/reference.ts";
import { urlAdvice } from "../sources/reference-advice.ts";
import { resolveModel } from "../sources/resolve.ts";
import type { DownloadProgress } from "../sources/resolved-model.ts";
import type { LanguageModel } from "./language-model.ts";

/** How to get at a model that is not a local file. */
export interface ReferenceOptions {
  /** Stops a download (what has arrived is kept) or the loading. */
  readonly signal?: AbortSignal;
  /** Called while a model is downloaded, and never when nothing is. */
  readonly onProgress?: (progress: DownloadProgress) => void;
}

/** A model in the embedded llama.cpp. */
export interface LlamaLoadOptions extends LlamaOptions, ReferenceOptions {
  readonly engine?: "llama.cpp";
}

/** A model in a vLLM that is started for it. */
export interface VllmLoadOptions extends VllmOptions {
  readonly engine: "vllm";
  /** Stops the loading. */
  readonly signal?: AbortSignal;
}

/** A `vllm serve` that is running. */
export interface ServerLoadOptions extends ServerOptions {
  readonly engine?: "vllm";
  readonly signal?: AbortSignal;
}

export type LoadOptions = LlamaLoadOptions | VllmLoadOptions | ServerLoadOptions;

/**
 * Load a model.
 *
 * @param reference the path of a `.gguf` file (`~/` is the home folder), or of any part of a split one; `hf:org/repo:Q4_K_M` or
 * `hf:org/repo/file.gguf` on the Hugging Face Hub, downloaded into its standard cache; `ollama:name:tag` or
 * `lmstudio:publisher/model` from those programs' own folders. With `engine: "vllm"` what vLLM takes: `org/repo` or the
 * folder of a checkpoint. `http://host:8000`: a `vllm serve` with moescope's plugin.
 * @example
 * const llm = await load("model.gguf");
 * const capture = await llm.capture("The capital of France is Paris.");
 * console.log(capture.routerLogits.get(0)?.dims);
 * await llm.close();
 *
 * @throws ModelError when there is no such model, it is damaged or cannot be downloaded; EngineError when the engine is
 * missing or does not fit; RequestError for a bad option.
 */
export async function load(reference: string, options: LoadOptions = {}): Promise<LanguageModel> {
  // Loaded when needed: importing the library should be quick, and many only read captures.
  const { LanguageModel } = await import("./language-model.ts");
  return new LanguageModel(await loadEngine(reference, options));
}

async function loadEngine(reference: string, options: LoadOptions): Promise<Engine> {
  if (/^https?:\/\//i.test(reference)) {
    if (urlAdvice(reference) !== null) throw urlError(reference);
    const { engine = "vllm", signal, apiKey, ...others } = options as ServerLoadOptions;
    const [unknown] = engine === "vllm" ? Object.keys(others) : ["engine"];
    if (unknown !== undefined)
      throw new RequestError("INVALID_ARGUMENT", `${unknown} cannot be set for a server that is running`);
    const { VllmServerEngine } = await import("../engines/vllm/server/server-engine.ts");
    return VllmServerEngine.attach(reference, { ...(apiKey !== undefined && { apiKey }) }, signal);
  }
  if (options.engine === "vllm") {
    const { engine: _, signal, ...vllm } = options as VllmLoadOptions;
    const [, scheme, rest] = /^(hf|ollama|lmstudio):(.*)$/is.exec(reference) ?? [];
    if (scheme !== undefined)
      throw new RequestError(
        "INVALID_ARGUMENT",
        scheme.toLowerCase() === "hf"
          ? `vLLM takes a repository without hf:, as ${rest}; hf: is for GGUF files in llama.cpp`
          : `${scheme}: names a GGUF file, which llama.cpp runs; leave out --engine vllm (engine: "vllm")`,
      );
    const { VllmEngine } = await import("../engines/vllm/worker/worker-engine.ts");
    return VllmEngine.load(reference, vllm, signal);
  }
  const { engine = "llama.cpp", signal, onProgress, ...llama } = options as LlamaLoadOptions;
  if (engine !== "llama.cpp")
    throw new RequestError(
      "INVALID_ARGUMENT",
      `unknown engine "${engine}"; the engines are llama.cpp and vllm`,
    );
  const { path, source, notes } = await resolveModel(reference, { signal, onProgress });
  tell(notes);
  const { LlamaEngine } = await import("../engines/llama/engine.ts");
  return LlamaEngine.load(path, llama, { source, ...(signal ? { signal } : {}) });
}

/** Warn of what belongs to a model where it lies, and is not used. */
function tell(notes: readonly string[] = []): void {
  for (const note of notes)
    process.emitWarning(note, { type: "MoescopeWarning", code: "MODEL_PARTS_NOT_USED" });
}

/**
 * Read what a model's file says of it, without loading the weights. Takes the same references as {@link load}.
 *
 * @throws ModelError as {@link load}.
 */
export async function inspectModel(reference: string, options: ReferenceOptions = {}): Promise<ModelFile> {
  const { path, source, notes } = await resolveModel(reference, options);
  tell(notes);
  const { inspectFile } = await import("../engines/llama/model/gguf.ts");
  return inspectFile(path, source);
}

/**
 * Read the learned biases that a model adds to its routers' scores before it chooses (`Gating.selectionBias`), by
 * layer, one number per expert: what `route` needs beside the logits. Empty for a model without. Takes the same
 * references as {@link load}.
 *
 * @throws ModelError as {@link load}.
 * @example
 * const biases = await selectionBias("deepseek.gguf");
 * const { gating, topK } = moeLayer(capture.model.moe!, 5);
 * const { ids } = route(capture.routerLogits.get(5)!, gating, topK, biases.get(5));
 */
export async function selectionBias(
  reference: string,
  options: ReferenceOptions = {},
): Promise<ReadonlyMap<number, Float32Array>> {
  const { path } = await resolveModel(reference, options);
  const { readSelectionBias } = await import("../engines/llama/model/gguf-selection-bias.ts");
  return readSelectionBias(path);
}
