import { join } from "node:path";
import { setImmediate } from "node:timers/promises";
import { Worker } from "node:worker_threads";
import type { Capture, CaptureOrigin } from "../../capture/capture.ts";
import { CaptureError, MoescopeError, RequestError } from "../../errors.ts";
import { packageRoot } from "../../package-root.ts";
import { type AnalysisTask, type TaskResult, taskRunner } from "../analysis-tasks.ts";
import type { TestSettings } from "../analyze-layer.ts";
import type { FromWorker, ToWorker, WireError, WorkerStart } from "./worker-protocol.ts";

export interface TaskOptions {
  readonly signal: AbortSignal | undefined;
  /** Called when a task has ended, with how many have. */
  readonly onDone: (done: number) => void;
}

/** Do tasks one after the other in this thread, which is busy for as long as a task takes. */
export async function runHere(
  capture: Capture,
  tasks: readonly AnalysisTask[],
  settings: TestSettings,
  { signal, onDone }: TaskOptions,
): Promise<TaskResult[]> {
  const run = taskRunner(capture, settings);
  const results: TaskResult[] = [];
  for (const task of tasks) {
    // Lets an abort and whoever shows the progress come through.
    await setImmediate();
    signal?.throwIfAborted();
    results.push(run(task));
    onDone(results.length);
  }
  return results;
}

/**
 * Do tasks on several threads, each of which opens the capture's folder. An abort ends them at once.
 *
 * @returns the results in the order of the tasks.
 */
export async function runOnThreads(
  origin: CaptureOrigin,
  tasks: readonly AnalysisTask[],
  settings: TestSettings,
  threads: number,
  { signal, onDone }: TaskOptions,
): Promise<TaskResult[]> {
  signal?.throwIfAborted();
  const workers = Array.from({ length: Math.min(threads, tasks.length) }, () =>
    startWorker(origin, settings),
  );
  const results = new Array<TaskResult>(tasks.length);
  let next = 0;
  let done = 0;
  const each = workers.map(async (worker) => {
    while (next < tasks.length) {
      const index = next++;
      results[index] = await ask(worker, { index, task: tasks[index]! });
      onDone(++done);
    }
  });
  let onAbort = () => {};
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
  });
  try {
    await Promise.race([Promise.all(each), aborted]);
  } finally {
    signal?.removeEventListener("abort", onAbort);
    for (const work of each) work.catch(() => {});
    await Promise.all(workers.map((worker) => worker.terminate()));
  }
  return results;
}

function startWorker(origin: CaptureOrigin, settings: TestSettings): Worker {
  return new Worker(join(packageRoot, "dist", "analysis", "worker.js"), {
    workerData: { origin, settings } satisfies WorkerStart,
    name: "moescope analysis",
    // Flags of the host program (--eval, --input-type) are not for the worker.
    execArgv: [],
  });
}

function ask(worker: Worker, message: ToWorker): Promise<TaskResult> {
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
    worker.postMessage(message);
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
