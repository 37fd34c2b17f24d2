import { type ChildProcess, fork } from "node:child_process";
import type { Socket } from "node:net";
import { join } from "node:path";
import { packageRoot } from "../../../core/package-root.ts";
import type { ChannelListener, HostChannel } from "./channel.ts";
import type { HostEnd } from "./host-end.ts";
import { type FromThread, type HostOptions, PIPE, type ToHost, type ToProcess } from "./protocol.ts";
import { RowPassage } from "./row-passage.ts";
import { encode, MessageReader } from "./wire.ts";

/** What a crash says of itself is at the end of stderr; this many characters hold it. */
const STDERR_TAIL = 4096;
const PASSAGE = PIPE + 1;
const NAME = "llama.cpp's process";

/** llama.cpp in a process of its own (`process.ts`): a native crash ends that one, not this. */
export class ProcessChannel implements HostChannel {
  readonly #child: ChildProcess;
  /** `undefined` where the process could not be started. */
  readonly #pipe: Socket | undefined;
  readonly #passage = RowPassage.make();
  readonly #reader = new MessageReader({
    get: (at, bytes) => {
      const rows = this.#passage!.get(at, bytes);
      this.#send({ type: "rows taken" });
      return rows;
    },
  });
  #listener: ChannelListener | null = null;
  #stderr = "";
  /** How it ended, where that is known better than from its exit. */
  #told: HostEnd | null = null;
  #over: HostEnd | null = null;

  /** Start the process; it waits for a model to {@link open}. */
  constructor() {
    this.#child = fork(join(packageRoot, "dist", "engines", "llama", "process.cjs"), [], {
      stdio: ["ignore", "ignore", "pipe", "ipc", "pipe", this.#passage?.file ?? "ignore"],
      execArgv: [],
      // ggml would start a debugger to print a backtrace of its own crash, and the crash would last as long as that.
      env: { ...process.env, GGML_NO_BACKTRACE: "1" },
    });
    this.#pipe = this.#child.stdio?.[PIPE] as Socket | undefined;
    this.#pipe
      ?.on("data", (piece: Buffer) => {
        try {
          for (const message of this.#reader.push(piece)) this.#receive(message as FromThread);
        } catch (cause) {
          // Its memory is not what it should be: nothing it says from here on can be trusted.
          this.kill(`sent what is no message: ${(cause as Error).message}`);
        }
      })
      // The end of the process, which `close` reports.
      .on("error", () => {});
    this.#child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_TAIL);
    });
    let failed: Error | undefined;
    this.#child
      .on("error", (error) => {
        failed = error;
        // Where the process could not be started there is no close to come.
        if (this.#child.pid === undefined) this.#ended(this.#end(null, null, error));
      })
      // `close`, not `exit`: by then every message and all of stderr has arrived.
      .on("close", (code, signal) => this.#ended(this.#end(code, signal, failed)));
  }

  open(options: HostOptions): void {
    this.#send({ type: "open", options, passage: this.#passage ? PASSAGE : null });
  }

  listen(listener: ChannelListener): void {
    this.#listener = listener;
    if (this.#over) listener.ended(this.#over);
  }

  post(message: ToHost): void {
    this.#send(message);
  }

  stop(): void {
    this.#send({ type: "stop" });
  }

  resume(): void {
    this.#send({ type: "resume" });
  }

  taken(): void {
    this.#send({ type: "taken" });
  }

  discard(): void {
    this.#child.kill("SIGKILL");
    this.unref();
  }

  kill(why: string): void {
    this.#told ??= { name: NAME, what: why };
    this.#child.kill("SIGKILL");
  }

  ref(): void {
    this.#child.ref();
    this.#pipe?.ref();
  }

  unref(): void {
    this.#child.unref();
    this.#child.channel?.unref();
    this.#pipe?.unref();
    (this.#child.stderr as Socket | null)?.unref();
  }

  #receive(message: FromThread): void {
    if (message.type === "closed") this.#told ??= { name: NAME, what: "has closed its model" };
    else this.#listener?.message(message);
  }

  #send(message: ToProcess): void {
    if (!this.#pipe?.writable) return;
    this.#pipe.cork();
    for (const piece of encode(message)) this.#pipe.write(piece);
    this.#pipe.uncork();
  }

  #ended(end: HostEnd): void {
    if (this.#over) return;
    this.#over = end;
    this.#passage?.close();
    this.#listener?.ended(end);
  }

  #end(code: number | null, signal: NodeJS.Signals | null, cause: Error | undefined): HostEnd {
    if (this.#told) return this.#told;
    if (signal === null && cause) return { name: NAME, what: `could not run: ${cause.message}`, cause };
    const last = lastWords(this.#stderr);
    const how = signal === null ? `ended with code ${code}` : `was killed by ${signal}`;
    const why = last || (signal === "SIGKILL" ? "perhaps because the machine had no memory left" : "");
    return { name: NAME, what: why ? `${how} (${why})` : how };
  }
}

/** The line of a crash's output that says what happened. Control characters stay out: it ends up in terminals. */
function lastWords(stderr: string): string {
  const lines = stderr.split("\n").map((line) => line.replace(/\p{Cc}+/gu, " ").trim());
  return (
    lines.findLast((line) => /GGML_ASSERT|what\(\)|ggml_abort|heap out of memory|rror:/.test(line)) ?? ""
  );
}
