import type { Capture } from "../capture/capture.ts";
import { MemorySink } from "../capture/memory.ts";
import { safeText } from "../core/safe-text.ts";
import type { Sink } from "../core/sink.ts";
import type { StartProgress } from "../engines/vllm/options.ts";
import type { LanguageModel, RunOptions } from "../run/language-model.ts";
import type { LoadOptions, ReferenceOptions } from "../run/load.ts";
import type { Prompt } from "../run/prompts/prompt-object.ts";
import type { DownloadProgress } from "../sources/resolved-model.ts";
import type { CommandContext } from "./command.ts";

/** Load a model for one piece of work; it is closed when the work ends, also by an error. */
export async function withModel<R>(
  reference: string,
  options: LoadOptions,
  context: CommandContext,
  work: (llm: LanguageModel) => Promise<R>,
): Promise<R> {
  const llm = await loadWithProgress(reference, options, context);
  try {
    return await work(llm);
  } finally {
    await llm.close();
  }
}

/** Load a model, with a progress line for what takes long: a download, or vLLM's start. */
export function loadWithProgress(
  reference: string,
  options: LoadOptions,
  context: CommandContext,
): Promise<LanguageModel> {
  const { signal, output } = context;
  if (!("engine" in options && options.engine === "vllm"))
    return resolving(context, "Loading the model", (reach) =>
      // A server has its model.
      context.load(reference, isUrl(reference) ? { ...options, signal } : { ...options, ...reach }),
    );
  const progress = output.progress();
  progress.update("Starting vLLM", 0, null);
  const onStart = ({ text }: StartProgress) => progress.update(`vLLM: ${safeText(text)}`, 0, null);
  return context
    .load(reference, { ...options, engine: "vllm", signal, onStart })
    .finally(() => progress.done());
}

const isUrl = (reference: string) => /^https?:\/\//i.test(reference);

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

/** Capture in memory, or into a sink, with a progress line and the context's signal. */
export function captureWithProgress(
  llm: LanguageModel,
  prompts: readonly Prompt[],
  { into = new MemorySink(), ...options }: RunOptions & { into?: Sink<Capture> },
  context: Pick<CommandContext, "output" | "signal">,
): Promise<Capture> {
  return watched(context, (watch) => llm.capture(prompts, { ...options, ...watch, into }));
}

/** Let a run show how far it is, and stop with the context's signal. */
export async function watched<R>(
  { output, signal }: Pick<CommandContext, "output" | "signal">,
  run: (watch: Pick<RunOptions, "signal" | "onProgress">) => Promise<R>,
): Promise<R> {
  const progress = output.progress();
  try {
    return await run({
      signal,
      onProgress: ({ tokens, totalTokens }) => progress.update("Capturing", tokens, totalTokens),
    });
  } finally {
    progress.done();
  }
}
