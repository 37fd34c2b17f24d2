/** Entry of the worker thread that owns llama.cpp, one model after the other; `host.ts` does the work. */
import { parentPort } from "node:worker_threads";
import { startHost } from "./host.ts";
import type { ToThread } from "./protocol.ts";

const port = parentPort!;
const wait = (): void => {
  port.on("message", begin);
};
const begin = (message: ToThread): void => {
  if (message.type === "exit") port.close();
  // Anything else was meant for the model before.
  if (message.type !== "open") return;
  port.off("message", begin);
  startHost(port, message.options, wait);
};
wait();
