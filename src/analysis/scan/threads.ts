import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { CaptureOrigin } from "../../capture/source.ts";
import { CaptureError, MoescopeError, RequestError } from "../../core/errors.ts";
import { packageRoot } from "../../core/package-root.ts";
import { talliesOf } from "../measures/registry.ts";
import { runTask } from "./run-task.ts";
import type { ScanWork } from "./scan-layer.ts";
import type { ScanTask, Schedule } from "./schedule.ts";
import { sharedData } from "./shared-data.ts";
import type { FromWorker, ToWorker, WireError, WorkerStart } from "./worker-protocol.ts";

export interface RunOptions {
  readonly signal: AbortSignal | undefined;
  /** Called when a part has ended, with how many have. */
  readonly onDone: (done: number) => void;
}

/** Do the parts one after the other in this thread, which is busy for as long as a part takes. */
export async function runHere(
  work: ScanWork,
  schedule: Schedule,
  { signal, onDone }: RunOptions,
): Promise<void> {
  for (let task = schedule.next(); task; task = schedule.next()) {
    // Lets an abort and whoever shows the progress come through.
    await setImmediate();
    signal?.throwIfAborted();
    schedule.finish(task, runTask(work, task));
    onDone(schedule.done);
  }
}

/**
 * Do the parts on several threads. They read the folder's files and open nothing: what was read and computed of its rows
 * here is shared with them. An abort ends them at once.
 */
export async function runOnThreads(
  work: ScanWork,
  origin: CaptureOrigin,
  schedule: Schedule,
  threads: number,
  { signal, onDone }: RunOptions,
): Promise<void> {
  signal?.throwIfAborted();
  const start = workerStart(work, origin);
  const workers = Array.from({ length: Math.min(threads, schedule.total) }, () => startWorker(start));
  // Whoever finds nothing to do waits for the end of a part: it may make another possible.
  let ended = () => {};
  let partEnded = new Promise<void>((resolve) => {
    ended = resolve;
  });
  const serve = async (worker: Worker) => {
    while (schedule.done < schedule.total) {
      const task = schedule.next();
      if (!task) {
        await partEnded;
        continue;
      }
      schedule.finish(task, await ask(worker, task));
      onDone(schedule.done);
      ended();
      partEnded = new Promise((resolve) => {
        ended = resolve;
      });
    }
  };
  const each = workers.map(serve);
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
  try {
    await Promise.race([Promise.all(each), aborted]);
  } finally {
    signal?.removeEventListener("abort", onAbort);
    for (const served of each) served.catch(() => {});
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
}

function workerStart({ scope, columns, measures, ahead }: ScanWork, origin: CaptureOrigin): WorkerStart {
  const { model, samples, settings } = scope;
  return sharedData({
    origin,
    model,
    samples,
    settings,
    columns,
    tokens: new Map(Array.from(new Set(columns.tokenId), (id) => [id, scope.tokenText(id)])),
    measures: measures.map(({ name }) => name),
    ahead: talliesOf(measures).map((tally) => ahead.get(tally)),
  });
}

function startWorker(workerData: WorkerStart): Worker {
  return new Worker(join(packageRoot, "dist", "analysis", "worker.js"), {
    workerData,
    name: "moescope analysis",
    // Flags of the host program (--eval, --input-type) are not for the worker.
    execArgv: [],
  });
}

function ask(worker: Worker, task: ScanTask): Promise<unknown> {
  return new Promise((resolve, reject) => {
    const settle = (act: () => void) => {
      worker.off("message", onMessage).off("error", onError).off("exit", onExit);
      act();
    };
    const onMessage = (answer: FromWorker) =>
      settle(() => ("error" in answer ? reject(fromWire(answer.error)) : resolve(answer.result)));
    const onError = (error: Error) => settle(() => reject(error));
    const onExit = (code: number) =>
      settle(() => reject(new Error(`a thread of the analysis ended with code ${code}`)));
    worker.on("message", onMessage).on("error", onError).on("exit", onExit);
    worker.postMessage({ task } satisfies ToWorker);
  });
}

/** An error of a worker as the class it was there. */
function fromWire({ code, name, message, stack }: WireError): Error {
  const cause = Object.assign(new Error(message), { name, stack });
  if (code === null) return cause;
  if (name === "CaptureError") return new CaptureError(code, message, { cause });
  if (name === "RequestError") return new RequestError(code, message, { cause });
  return new MoescopeError(code, message, { cause });
}
