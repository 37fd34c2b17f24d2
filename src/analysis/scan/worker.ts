/** Entry of the threads that analyse a capture folder: each opens it and does the tasks it is sent. */
import { parentPort, workerData } from "node:worker_threads";
import { MoescopeError } from "../../errors.ts";
import { openCapture } from "../../store/folder-source.ts";
import { taskRunner } from "../analysis-tasks.ts";
import type { FromWorker, ToWorker, WireError, WorkerStart } from "./worker-protocol.ts";

const { origin, settings } = workerData as WorkerStart;
const port = parentPort!;

async function open() {
  const capture = await openCapture(origin.folder);
  return taskRunner(origin.samples ? capture.only(origin.samples) : capture, settings);
}

const running = open();
// Reported with the first task; a rejection nobody waits for would end the thread without a word.
running.catch(() => {});

port.on("message", async ({ index, task }: ToWorker) => {
  try {
    const run = await running;
    port.postMessage({ index, result: run(task) } satisfies FromWorker);
  } catch (error) {
    port.postMessage({ index, error: toWire(error) } satisfies FromWorker);
  }
});

function toWire(error: unknown): WireError {
  const { name, message, stack } = error instanceof Error ? error : new Error(String(error));
  return { code: error instanceof MoescopeError ? error.code : null, name, message, stack };
}
