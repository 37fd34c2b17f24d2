import { argument, optionsReader, text } from "../core/options.ts";
import { chooseEngine } from "../engines/choose.ts";
import type { EngineEntry } from "../engines/entry.ts";
import type { LoadOptions } from "../engines/index.ts";
import type { ModelFile } from "../engines/llama/model/gguf.ts";
import { type ReferenceOptions, referenceFields } from "../sources/reference-options.ts";
import { resolveModel, warnOfNotes } from "../sources/resolve.ts";
import type { LanguageModel } from "./language-model.ts";

/**
 * Load a model.
 *
 * @param reference the path of a `.gguf` file (`~/` is the home folder), or of any part of a split one; `hf:org/repo:Q4_K_M` or
 * `hf:org/repo/file.gguf` on the Hugging Face Hub, downloaded into its standard cache; `ollama:name:tag` or
 * `lmstudio:publisher/model` from those programs' own folders. With `engine: "vllm"` what vLLM takes: `org/repo` or the
 * folder of a checkpoint. `http://host:8000`: a `vllm serve` with moescope's plugin.
 * @example
 * import { load } from "moescope";
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
  const { ENGINES } = await import("../engines/index.ts");
  return loadWith(ENGINES, reference, options);
}

/** {@link load} with a list of engines, the first of which runs what is nobody's own. */
export async function loadWith(
  engines: readonly EngineEntry[],
  reference: string,
  options: object = {},
): Promise<LanguageModel> {
  argument("load", "the model", reference, text);
  const entry = chooseEngine(engines, reference, (options as { engine?: string } | null)?.engine);
  const read = await entry.options();
  const engine = await entry.load(reference, read(options));
  const { LanguageModel } = await import("./language-model.ts");
  return LanguageModel.of(engine);
}

/** The file of a reference, for a function that takes the options of one. */
async function resolve(call: string, reference: string, options: ReferenceOptions) {
  argument(call, "the model", reference, text);
  const read = optionsReader<ReferenceOptions>(call, referenceFields);
  return resolveModel(reference, read(options));
}

/**
 * Read what a model's file says of it, without loading the weights. Takes the same references as {@link load}.
 *
 * @throws ModelError as {@link load}.
 * @example
 * import { inspectModel } from "moescope";
 * const { architecture, layers, moe } = await inspectModel("hf:org/repo:Q4_K_M");
 * console.log(architecture, layers, "layers;", moe ? `${moe.experts} experts, ${moe.topK} used` : "dense");
 */
export async function inspectModel(reference: string, options: ReferenceOptions = {}): Promise<ModelFile> {
  const { path, source, notes } = await resolve("inspectModel", reference, options);
  warnOfNotes(notes);
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
 * import { moeLayer, route, selectionBias } from "moescope";
 * const biases = await selectionBias("deepseek.gguf");
 * const { gating, topK } = moeLayer(capture.model.moe!, 5);
 * const { ids } = route(capture.routerLogits.get(5)!, gating, topK, biases.get(5));
 */
export async function selectionBias(
  reference: string,
  options: ReferenceOptions = {},
): Promise<ReadonlyMap<number, Float32Array>> {
  const { path } = await resolve("selectionBias", reference, options);
  const { readSelectionBias } = await import("../engines/llama/model/gguf-selection-bias.ts");
  return readSelectionBias(path);
}
