import type { Capture } from "../capture/capture.ts";
import type { LoadOptions, ReferenceOptions } from "../load.ts";
import type { CaptureOptions, LanguageModel } from "../model.ts";
import type { DownloadProgress } from "../models/resolve.ts";
import type { Prompt } from "../prompt.ts";
import type { CommandContext } from "./command.ts";

/** Load a model for one piece of work; it is closed when the work ends, also by an error. */
export async function withModel<R>(
  reference: string,
  options: LoadOptions,
  context: CommandContext,
  work: (llm: LanguageModel) => Promise<R>,
): Promise<R> {
  const llm = await resolving(context, "Loading the model", (reach) =>
    context.load(reference, { ...options, ...reach }),
  );
  try {
    return await work(llm);
  } finally {
    await llm.close();
  }
}

/** Do what may need a model's file from elsewhere first, with a progress line for that. */
export async function resolving<R>(
  { output, signal }: Pick<CommandContext, "output" | "signal">,
  what: string,
  work: (reach: Required<ReferenceOptions>) => Promise<R>,
): Promise<R> {
  const progress = output.progress();
  progress.update(what, 0, null);
  const onProgress = ({ bytes, total }: DownloadProgress) =>
    progress.update("Downloading", bytes, total, "bytes");
  return work({ signal, onProgress }).finally(() => progress.done());
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
