import { type ChildProcess, fork } from "node:child_process";
import type { Socket } from "node:net";
import { join } from "node:path";
import { packageRoot } from "../../../core/package-root.ts";
import type { ChannelListener, HostChannel } from "./channel.ts";
import type { HostEnd } from "./host-end.ts";
import type { FromRelay, HostOptions, ToHost, ToRelay } from "./protocol.ts";

/** What a crash says of itself is at the end of stderr; this many characters hold it. */
const STDERR_TAIL = 4096;

/** llama.cpp in a thread of a child process (`relay.ts`): a native crash ends that process, not this one. */
export class ProcessChannel implements HostChannel {
  readonly #child: ChildProcess;
  #listener: ChannelListener | null = null;
  #stderr = "";
  /** What the child itself said about the end of its thread. */
  #told: HostEnd | null = null;

  constructor(options: HostOptions) {
    this.#child = fork(join(packageRoot, "dist", "engines", "llama", "relay.js"), [], {
      // Structured clone: typed arrays and Maps arrive as what they are.
      serialization: "advanced",
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      execArgv: [],
      // ggml would start a debugger to print a backtrace of its own crash, and the crash would last as long as that.
      env: { ...process.env, GGML_NO_BACKTRACE: "1" },
    });
    this.#child.stderr!.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr = (this.#stderr + text).slice(-STDERR_TAIL);
    });
    let failed: Error | undefined;
    this.#child
      .on("message", (message: FromRelay) => {
        if (message.type === "ended") this.#told = message.end;
        else this.#listener?.message(message);
      })
      .on("error", (error) => {
        failed = error;
        // Where the process could not be started there is no close to come.
        if (this.#child.pid === undefined) this.#listener?.ended(this.#end(null, null, error));
      })
      // `close`, not `exit`: by then every message and all of stderr has arrived.
      .on("close", (code, signal) => this.#listener?.ended(this.#end(code, signal, failed)));
    this.#send({ type: "start", options });
  }

  listen(listener: ChannelListener): void {
    this.#listener = listener;
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

  ref(): void {
    this.#child.ref();
    this.#child.channel?.ref();
  }

  unref(): void {
    this.#child.unref();
    this.#child.channel?.unref();
    (this.#child.stderr as Socket | null)?.unref();
  }

  #send(message: ToRelay): void {
    // A failure to send is the child's end, which `close` reports.
    if (this.#child.connected) this.#child.send(message, () => {});
  }

  #end(code: number | null, signal: NodeJS.Signals | null, cause: Error | undefined): HostEnd {
    if (this.#told) return this.#told;
    const name = "llama.cpp's process";
    if (signal === null && cause) return { name, what: `could not run: ${cause.message}`, cause };
    const last = lastWords(this.#stderr);
    const how = signal === null ? `ended with code ${code}` : `was killed by ${signal}`;
    const why = last || (signal === "SIGKILL" ? "perhaps because the machine had no memory left" : "");
    return { name, what: why ? `${how} (${why})` : how };
  }
}

/** The line of a crash's output that says what happened. Control characters stay out: it ends up in terminals. */
function lastWords(stderr: string): string {
  const lines = stderr.split("\n").map((line) => line.replace(/\p{Cc}+/gu, " ").trim());
  return (
    lines.findLast((line) => /GGML_ASSERT|what\(\)|ggml_abort|heap out of memory|rror:/.test(line)) ?? ""
  );
}
