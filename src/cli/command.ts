import type { ModelInfo } from "../engines/engine.ts";
import type { LlamaDiagnosis } from "../engines/llama/diagnosis.ts";
import type { ModelFile } from "../engines/llama/gguf.ts";
import type { VllmDiagnosis } from "../engines/vllm/python.ts";
import type { LoadOptions, ReferenceOptions } from "../load.ts";
import type { LanguageModel } from "../model.ts";
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
