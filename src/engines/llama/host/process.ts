/**
 * Entry of the process that runs llama.cpp for one model. This thread does it; `relay.ts`, in a thread beside it, passes
 * messages and is free to notice a stop, or the end of the parent, whatever native code is doing here.
 */
import { readSync } from "node:fs";
import { join } from "node:path";
import { MessageChannel, Worker } from "node:worker_threads";
import { packageRoot } from "../../../core/package-root.ts";
import { findLibrary } from "../native/library.ts";
import { openLlama } from "../native/open-llama.ts";
import { startHost } from "./host.ts";
import { PIPE, type ToProcess } from "./protocol.ts";
import type { RelayData } from "./relay.ts";
import { HostSignals } from "./signals.ts";
import { MessageReader } from "./wire.ts";

// Ctrl-C reaches every process of a terminal; the parent decides what it means.
process.on("SIGINT", () => {});

// The parent reads the model's header meanwhile.
try {
  const files = findLibrary();
  openLlama(files).loadBackends(files.folder);
} catch {
  // It is said when a model is to be opened.
}

const first = firstMessage();
if (first?.type !== "open") process.exit(0);
const signals = new HostSignals();
const { port1, port2 } = new MessageChannel();
const relay: RelayData = { port: port2, passage: first.passage, signals: signals.shared };
new Worker(join(packageRoot, "dist", "engines", "llama", "relay.cjs"), {
  name: "moescope relay",
  execArgv: [],
  workerData: relay,
  transferList: [port2],
}).on("exit", () => process.exit(0));
startHost(port1, { ...first.options, ...signals.shared }, () => {});

/** Reads it without an event loop, and nothing of the next. `null`: the parent is gone, or needs no host. */
function firstMessage(): ToProcess | null {
  const reader = new MessageReader();
  for (let wanted = reader.wanted; ; wanted = reader.wanted) {
    const piece = Buffer.allocUnsafe(wanted);
    const count = readSync(PIPE, piece, 0, wanted, null);
    if (count === 0) return null;
    for (const message of reader.push(piece.subarray(0, count))) return message as ToProcess;
  }
}
