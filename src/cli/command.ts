import type { ModelInfo } from "../core/model-info.ts";
import type { LlamaDiagnosis } from "../engines/llama/diagnosis.ts";
import type { ModelFile } from "../engines/llama/model/gguf.ts";
import type { VllmDiagnosis } from "../engines/vllm/install/python.ts";
import type { LanguageModel } from "../run/language-model.ts";
import type { LoadOptions, ReferenceOptions } from "../run/load.ts";
import type { Output } from "./output.ts";

/** What a command gets from its surroundings, so that it runs the same in a test. */
export interface CommandContext {
  readonly output: Output;
  readonly stdin: AsyncIterable<Uint8Array>;
  /** Aborted by Ctrl-C. */
  readonly signal: AbortSignal;
  load(reference: string, options: LoadOptions): Promise<LanguageModel>;
  inspectModel(reference: string, options: ReferenceOptions): Promise<ModelInfo & Partial<ModelFile>>;
  diagnose(): Promise<LlamaDiagnosis>;
  diagnoseVllm(): Promise<VllmDiagnosis>;
}
