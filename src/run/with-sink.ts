import type { Finished } from "../core/request.ts";
import type { RunHeader, Sink } from "../core/sink.ts";

/**
 * Do a run between the opening of a sink and its end. A sink that fails to close after the run has failed does not hide
 * why the run did: that is what rejects, and a warning tells the other.
 *
 * @param run adds the samples that ended to the list.
 */
export async function withSink<R>(
  sink: Sink<R>,
  header: RunHeader,
  run: (finished: Finished[]) => Promise<void>,
): Promise<R> {
  await sink.open(header);
  const finished: Finished[] = [];
  try {
    await run(finished);
  } catch (error) {
    try {
      await sink.close({ finished: bySample(finished), error });
    } catch (second) {
      if (second !== error) warnOf(second);
    }
    throw error;
  }
  return sink.close({ finished: bySample(finished) });
}

const bySample = (finished: readonly Finished[]) => [...finished].sort((a, b) => a.sample - b.sample);

function warnOf(error: unknown): void {
  const what = error instanceof Error ? error.message : String(error);
  process.emitWarning(`the run failed, and then its sink could not be closed: ${what}`, {
    type: "MoescopeWarning",
    code: "SINK_NOT_CLOSED",
  });
}
