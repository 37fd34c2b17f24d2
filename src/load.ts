import { LlamaEngine, type LlamaOptions } from "./engines/llama/engine.ts";
import { RequestError } from "./errors.ts";
import { LanguageModel } from "./model.ts";

export interface LoadOptions extends LlamaOptions {
  /** What runs the model. Default: the embedded llama.cpp. */
  readonly engine?: "llama.cpp";
  readonly signal?: AbortSignal;
}

/**
 * Load a model: the path of a `.gguf` file, or of any part of a split one.
 *
 * @example
 * const llm = await load("model.gguf");
 * const capture = await llm.capture("The capital of France is Paris.");
 * console.log(capture.routerLogits.get(0)?.dims);
 * await llm.close();
 *
 * @throws ModelError when there is no such model or it is damaged; EngineError when llama.cpp is missing or does not
 * fit; RequestError for a bad option.
 */
export async function load(reference: string, options: LoadOptions = {}): Promise<LanguageModel> {
  const { engine = "llama.cpp", signal, ...llama } = options;
  if (engine !== "llama.cpp")
    throw new RequestError("INVALID_ARGUMENT", `unknown engine "${engine}"; the engine is llama.cpp`);
  return new LanguageModel(await LlamaEngine.load(reference, llama, signal));
}
