/** Entry of the worker thread that owns llama.cpp; `host.ts` does the work. */
import { parentPort, workerData } from "node:worker_threads";
import { startHost } from "./host.ts";

startHost(parentPort!, workerData);
