import type { Capture } from "../capture/capture.ts";
import { MemorySink } from "../capture/memory.ts";
import { safeText } from "../core/safe-text.ts";
import type { Sink } from "../core/sink.ts";
import { chooseEngine } from "../engines/choose.ts";
import type { LoadOptions } from "../engines/index.ts";
import type { LanguageModel } from "../run/language-model.ts";
import type { Prompt } from "../run/prompts/prompt-object.ts";
import type { RunOptions } from "../run/run-options.ts";
import type { ReferenceOptions } from "../sources/reference-options.ts";
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

/** Load a model, with a progress line for what takes long: a download, or an engine's start. */
export function loadWithProgress(
  reference: string,
  options: LoadOptions,
  context: CommandContext,
): Promise<LanguageModel> {
  const { signal, output, engines } = context;
  const entry = chooseEngine(engines, reference, options.engine as string | undefined);
  const progress = output.progress();
  progress.update(entry.loading, 0, null);
  const watch = entry.watch?.(({ text, bytes }) =>
    progress.update(safeText(text), bytes?.done ?? 0, bytes?.total ?? null, bytes && "bytes"),
  );
  return context
    .load(reference, { ...options, ...watch, signal } as LoadOptions)
    .finally(() => progress.done());
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
