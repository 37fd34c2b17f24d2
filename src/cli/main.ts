#!/usr/bin/env node
import { ENGINES } from "../engines/index.ts";
import { run } from "./commands/run.ts";
import { outputTo } from "./output.ts";

const abort = new AbortController();

for (const signal of ["SIGINT", "SIGTERM"] as const)
  process.on(signal, () => {
    // The first Ctrl-C stops the engine and closes what is open; who cannot wait presses it again.
    if (!abort.signal.aborted) return abort.abort();
    // Not process.exit: that waits for threads, and native code in one may never end.
    process.removeAllListeners(signal);
    process.kill(process.pid, signal);
  });

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  // `moescope ... | head` has seen enough.
  if (error.code === "EPIPE") process.exit(0);
  throw error;
});

// Node's own form names a process id and a flag; ours says what it is. Others' warnings are for developers.
process.removeAllListeners("warning");
process.on("warning", (warning) => {
  if (warning.name === "MoescopeWarning") process.stderr.write(`moescope: ${warning.message}\n`);
  else if (process.env.MOESCOPE_DEBUG) process.stderr.write(`${warning.stack}\n`);
});

process.exitCode = await run(
  process.argv.slice(2),
  {
    output: outputTo(process.stdout, process.stderr, process.env),
    stdin: process.stdin,
    signal: abort.signal,
    engines: ENGINES,
    load: async (reference, options) => (await import("../run/load.ts")).load(reference, options),
    inspectModel: async (reference, options) =>
      (await import("../run/load.ts")).inspectModel(reference, options),
  },
  process.stdout,
  process.stderr,
  process.env,
);
