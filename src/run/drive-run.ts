import type { Engine } from "../core/engine.ts";
import { append } from "../core/extremes.ts";
import type { Finished } from "../core/request.ts";
import type { Sink } from "../core/sink.ts";
import { type PreparedRun, tokensFed } from "./prepare-run.ts";
import type { RunOptions } from "./run-options.ts";
import type { RunQueue } from "./run-queue.ts";

/**
 * Have the engine do a run when it is its turn, and hand the rows to a sink that is open.
 *
 * @param todo which of the requests are to run.
 * @param finished gets the samples that ended.
 */
export async function driveRun(
  engine: Engine,
  queue: RunQueue,
  { requests: all, plan }: PreparedRun,
  todo: readonly number[],
  sink: Sink<unknown>,
  finished: Finished[],
  { signal, onProgress }: Pick<RunOptions, "signal" | "onProgress">,
): Promise<void> {
  if (todo.length === 0) return;
  const requests = todo.map((sample) => all[sample]!);
  const totalTokens = requests.reduce((sum, request) => sum + tokensFed(request), 0);
  let tokens = 0;
  // The engine counts the requests it was given; a sink knows the run's samples.
  const sampleOf = (index: number) => todo[index]!;
  const options = signal ? { signal } : {};
  const turn = await queue.take(options);
  try {
    for await (const step of engine.run(requests, plan, options)) {
      const { batch } = step;
      if (batch) await turn.inside(() => sink.write({ ...batch, sample: batch.sample.map(sampleOf) }));
      const ended = step.finished.map((end) => ({ ...end, sample: sampleOf(end.sample) }));
      if (ended.length > 0) await turn.inside(() => sink.finish?.(ended));
      append(
        finished,
        ended.map(({ embedding: _, ...end }) => end),
      );
      tokens += step.processed;
      onProgress?.({ samples: finished.length, totalSamples: requests.length, tokens, totalTokens });
    }
  } finally {
    turn.release();
  }
}
