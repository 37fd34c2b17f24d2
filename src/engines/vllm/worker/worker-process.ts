import { type ChildProcess, spawn } from "node:child_process";
import { readdir, rm } from "node:fs/promises";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { stripVTControlCharacters } from "node:util";
import { EngineError } from "../../../core/errors.ts";
import { packageRoot } from "../../../core/package-root.ts";
import { type WorkerMessage, workerMessage } from "../protocol.ts";

/** What a crash says of itself is at the end of stderr; vLLM's tracebacks are long. */
const STDERR_TAIL = 1 << 16;
/** A worker that was asked to end and has not by then is killed. */
const CLOSE_TIMEOUT_MS = 20_000;

export interface WorkerListener {
  message(message: WorkerMessage): void;
  /** Called once, after the last message. */
  ended(error: EngineError): void;
}

/** The process that vLLM runs in, with the processes it starts. */
export class WorkerProcess {
  readonly #child: ChildProcess;
  readonly #listener: WorkerListener;
  #stderr = "";
  #closed: Promise<void>;

  constructor(python: string, listener: WorkerListener) {
    this.#listener = listener;
    const { PYTHONPATH } = process.env;
    const plugin = join(packageRoot, "python");
    this.#child = spawn(python, ["-m", "moescope_vllm.worker"], {
      stdio: ["pipe", "pipe", "pipe"],
      env: { ...process.env, PYTHONPATH: PYTHONPATH ? `${plugin}:${PYTHONPATH}` : plugin },
      // A group of its own: Ctrl-C is for us to pass on as a cancel, and one kill reaches all of vLLM's processes.
      detached: true,
    });
    let failure: Error | null = null;
    const lines = createInterface({ input: this.#child.stdout!, crlfDelay: Number.POSITIVE_INFINITY });
    lines.on("line", (line) => this.#receive(line));
    this.#child.stdin!.on("error", () => {}); // The end of the process says it.
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_TAIL);
      if (process.env.MOESCOPE_DEBUG) process.stderr.write(text);
    });
    this.#closed = new Promise((resolve) => {
      const end = async (code: number | null, signal: NodeJS.Signals | null) => {
        this.kill();
        if (this.#child.pid !== undefined) await removeSpools(this.#child.pid);
        listener.ended(this.#crashed(code, signal, failure));
        resolve();
      };
      this.#child
        .on("error", (error) => {
          failure = error;
        })
        // `close`, not `exit`: by then every message and all of stderr has arrived.
        .on("close", end);
    });
  }

  send(message: object): void {
    if (this.#child.stdin!.writable) this.#child.stdin!.write(`${JSON.stringify(message)}\n`);
  }

  /** Ask it to end, and make it end. */
  async close(): Promise<void> {
    this.ref();
    this.send({ type: "close" });
    this.#child.stdin!.end();
    const timer = setTimeout(() => this.kill(), CLOSE_TIMEOUT_MS);
    await this.#closed;
    clearTimeout(timer);
  }

  /** End it and everything it started, at once. */
  kill(): void {
    try {
      if (this.#child.pid !== undefined) process.kill(-this.#child.pid, "SIGKILL");
    } catch {
      // The whole group is gone.
    }
  }

  /** Whether the worker keeps this process alive. */
  ref(): void {
    this.#each("ref");
  }

  unref(): void {
    this.#each("unref");
  }

  #each(method: "ref" | "unref"): void {
    const { stdin, stdout, stderr } = this.#child;
    this.#child[method]();
    for (const stream of [stdin, stdout, stderr]) (stream as unknown as Socket)[method]?.();
  }

  #receive(line: string): void {
    let message: WorkerMessage;
    try {
      message = workerMessage.parse(JSON.parse(line));
    } catch (cause) {
      // Nothing after it can be trusted.
      this.#stderr += `\nRuntimeError: a message that is no message of the protocol: ${line.slice(0, 200)}`;
      if (process.env.MOESCOPE_DEBUG) process.stderr.write(`${(cause as Error).message}\n`);
      this.kill();
      return;
    }
    this.#listener.message(message);
  }

  #crashed(code: number | null, signal: NodeJS.Signals | null, failure: Error | null): EngineError {
    if (failure && this.#child.pid === undefined)
      return new EngineError("ENGINE_UNAVAILABLE", `vLLM could not be started: ${failure.message}`, {
        cause: failure,
      });
    const why = lastWords(this.#stderr);
    const outOfMemory = /out of memory|OutOfMemoryError|No available memory|Cannot allocate memory/i.test(
      why,
    );
    const how = signal === null ? `ended with code ${code}` : `was killed by ${signal}`;
    const guess = signal === "SIGKILL" && !why ? "perhaps because the machine had no memory left" : why;
    return new EngineError(
      outOfMemory ? "OUT_OF_MEMORY" : "ENGINE_CRASHED",
      `vLLM's process ${how}${guess ? ` (${guess})` : ""}; load the model again (MOESCOPE_DEBUG=1 shows all of vLLM's output)`,
      { retryable: true },
    );
  }
}

/** Folders of rows files that the worker made and could not remove; its process id is in their names. */
async function removeSpools(pid: number): Promise<void> {
  for (const root of new Set(["/dev/shm", tmpdir()])) {
    const names = await readdir(root).catch(() => []);
    for (const name of names.filter((name) => name.startsWith(`moescope-${pid}-`)))
      await rm(join(root, name), { recursive: true, force: true });
  }
}

/** The line of vLLM's output that says what happened. Control characters stay out: it ends up in terminals. */
function lastWords(stderr: string): string {
  const lines = stripVTControlCharacters(stderr)
    .split("\n")
    .map((line) => line.replace(/\p{Cc}+/gu, " ").trim());
  // A traceback ends in "SomeError: what"; vLLM prefixes lines with its process and time.
  const told = lines.filter((line) => /(?:Error|Exception|Killed)\b.*: ?\S/.test(line));
  return (told.at(-1) ?? "").replace(/^.*?(?=[A-Za-z_.]*(?:Error|Exception))/, "").slice(0, 500);
}
