/** Entry of the thread beside llama.cpp in a process of its own: passes messages between the two processes. */
import { Socket } from "node:net";
import { type MessagePort, workerData } from "node:worker_threads";
import { type FromThread, PIPE, type SharedSignals, type ToProcess } from "./protocol.ts";
import { RowEntrance } from "./row-passage.ts";
import { HostSignals } from "./signals.ts";
import { encode, MessageReader } from "./wire.ts";

export interface RelayData {
  readonly port: MessagePort;
  /** The file through which rows go; `null`: with their messages. */
  readonly passage: number | null;
  readonly signals: SharedSignals;
}

const { port, passage, signals: shared } = workerData as RelayData;
const signals = new HostSignals(shared);
const entrance = passage === null ? undefined : new RowEntrance(passage);
const pipe = new Socket({ fd: PIPE, readable: true, writable: true });
const reader = new MessageReader();

const receive = (message: ToProcess): void => {
  if (message.type === "stop") signals.stop();
  else if (message.type === "resume") signals.resume();
  else if (message.type === "taken") signals.taken();
  else if (message.type === "rows taken") entrance?.taken();
  else port.postMessage(message);
};

pipe
  .on("data", (piece: Buffer) => {
    for (const message of reader.push(piece)) receive(message as ToProcess);
  })
  .on("error", () => {})
  // Whatever native code is doing: without a parent there is nobody to do it for, and nothing to save.
  .on("close", () => process.kill(process.pid, "SIGKILL"));

port.on("message", (message: FromThread) => {
  const rows = message.type === "steps" ? message.steps.batch?.sample.buffer : undefined;
  pipe.cork();
  for (const piece of encode(message, rows as ArrayBuffer | undefined, entrance)) pipe.write(piece);
  pipe.uncork();
  if (message.type === "closed")
    pipe.end(() => {
      // Its end ends the process.
      process.exit();
    });
});
