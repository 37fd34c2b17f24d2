import type { Capture } from "../capture/capture.ts";
import type { LoadOptions } from "../load.ts";
import type { CaptureOptions, LanguageModel } from "../model.ts";
import type { Prompt } from "../prompt.ts";
import type { CommandContext } from "./command.ts";

/** Load a model for one piece of work; it is closed when the work ends, also by an error. */
export async function withModel<R>(
  reference: string,
  options: LoadOptions,
  context: CommandContext,
  work: (llm: LanguageModel) => Promise<R>,
): Promise<R> {
  const progress = context.output.progress();
  progress.update("Loading the model", 0, null);
  const loading = context.load(reference, { ...options, signal: context.signal });
  const llm = await loading.finally(() => progress.done());
  try {
    return await work(llm);
  } finally {
    await llm.close();
  }
}

/** Capture in memory or into a folder, with a progress line and the context's signal. */
export async function captureWithProgress(
  llm: LanguageModel,
  prompts: readonly Prompt[],
  options: Omit<CaptureOptions, "into"> & { into?: string },
  { output, signal }: Pick<CommandContext, "output" | "signal">,
): Promise<Capture> {
  const progress = output.progress();
  try {
    return await llm.capture(prompts, {
      ...options,
      signal,
      onProgress: ({ tokens, totalTokens }) => progress.update("Capturing", tokens, totalTokens),
    });
  } finally {
    progress.done();
  }
}
