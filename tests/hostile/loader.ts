import { type ChildProcess, fork } from "node:child_process";
import { fileURLToPath } from "node:url";

export interface Outcome {
  /** `loaded`, an error's code, `UNTYPED`, `STOPPED` for what hung until an abort, or what happened to the process: `CRASHED`, `HUNG`. */
  readonly outcome: string;
  readonly message?: string;
}

/** What hangs is stopped after 20 s, or 10 more where it does not even notice that; see `load-files.mjs`. */
const PATIENCE_MS = 45_000;

/** Loads files in another process one after the other, and starts a new one when a file killed the last. */
export class Loader {
  #child: ChildProcess | null = null;
  #stderr = "";
  readonly #isolate: string;

  constructor(isolate: string) {
    this.#isolate = isolate;
  }

  async load(file: string): Promise<Outcome> {
    this.#child ??= this.#start();
    const child = this.#child;
    const outcome = await new Promise<Outcome>((resolve) => {
      const timer = setTimeout(() => resolve({ outcome: "HUNG" }), PATIENCE_MS);
      child.once("message", (message) => resolve(message as Outcome));
      child.once("close", (code, signal) => {
        const message = `${signal ?? code}: ${this.#stderr.trim().split("\n").slice(-3).join(" | ")}`;
        resolve({ outcome: "CRASHED", message });
      });
      child.once("message", () => clearTimeout(timer)).once("close", () => clearTimeout(timer));
      child.send(file);
    });
    child.removeAllListeners();
    if (["HUNG", "CRASHED"].includes(outcome.outcome)) this.stop();
    return outcome;
  }

  stop(): void {
    this.#child?.kill("SIGKILL");
    this.#child = null;
  }

  #start(): ChildProcess {
    this.#stderr = "";
    const child = fork(fileURLToPath(new URL("./load-files.mjs", import.meta.url)), [this.#isolate], {
      stdio: ["ignore", "ignore", "pipe", "ipc"],
      execArgv: [],
      env: { ...process.env, GGML_NO_BACKTRACE: "1" },
    });
    child.stderr!.setEncoding("utf8").on("data", (text) => {
      this.#stderr = (this.#stderr + text).slice(-2000);
    });
    return child;
  }
}
