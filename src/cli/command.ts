import type { ModelInfo } from "../core/model-info.ts";
import type { EngineEntry } from "../engines/entry.ts";
import type { LoadOptions } from "../engines/index.ts";
import type { ModelFile } from "../engines/llama/model/gguf.ts";
import type { LanguageModel } from "../run/language-model.ts";
import type { ReferenceOptions } from "../sources/reference-options.ts";
import type { Output } from "./output.ts";

/** What a command gets from its surroundings, so that it runs the same in a test. */
export interface CommandContext {
  readonly output: Output;
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  /** The first runs what is nobody's own. */
  readonly engines: readonly EngineEntry[];
  load(reference: string, options: LoadOptions): Promise<LanguageModel>;
  inspectModel(reference: string, options: ReferenceOptions): Promise<ModelInfo & Partial<ModelFile>>;
}
