/** Entry of the threads that scan a capture folder: each does the tasks it is sent, and opens nothing. */
import { parentPort, workerData } from "node:worker_threads";
import { toWire } from "../../core/wire-error.ts";
import { allMeasures, talliesOf } from "../measures/registry.ts";
import { originReader } from "./origin-reader.ts";
import { runTask } from "./run-task.ts";
import type { ScanWork } from "./scan-layer.ts";
import { scanScope } from "./scope.ts";
import type { FromWorker, ToWorker, WorkerStart } from "./worker-protocol.ts";

const { origin, model, samples, settings, columns, tokens, measures, ahead } = workerData as WorkerStart;
const chosen = allMeasures.filter(({ name }) => measures.includes(name));
const work: ScanWork = {
  measures: chosen,
  scope: scanScope(model, samples, settings, (id) => tokens.get(id)!),
  columns,
  reader: originReader(origin),
  ahead: new Map(talliesOf(chosen).map((tally, i) => [tally, ahead[i]])),
};
const port = parentPort!;

port.on("message", ({ task }: ToWorker) => {
  try {
    port.postMessage({ result: runTask(work, task) } satisfies FromWorker);
  } catch (error) {
    port.postMessage({ error: toWire(error) } satisfies FromWorker);
  }
});
