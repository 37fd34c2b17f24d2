import { execFile, spawn } from "node:child_process";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { EngineError } from "../../../core/errors.ts";

const execute = promisify(execFile);

/** Installed where there is no uv; 0.7 and newer know everything that is asked of it. */
const UV_VERSION = "0.13.9";

/** uv, which resolves and installs Python packages: the user's own, else one in a folder beside the environment. */
export class Uv {
  readonly command: string;

  private constructor(command: string) {
    this.command = command;
  }

  /** @param folder where it is put if there is none. */
  static async find(folder: string, signal?: AbortSignal): Promise<Uv> {
    const own = join(folder, "bin", "uv");
    for (const command of ["uv", own]) if (await answers(command)) return new Uv(command);
    try {
      if (!existsSync(join(folder, "bin", "python")))
        await execute("python3", ["-m", "venv", folder], { signal });
      const pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", `uv==${UV_VERSION}`];
      await execute(join(folder, "bin", "python"), pip, { signal });
    } catch (cause) {
      signal?.throwIfAborted();
      throw new EngineError(
        "ENGINE_UNAVAILABLE",
        `uv is needed to install vLLM and could not be installed with python3 (${lastLine(cause)}); ` +
          "install uv (https://docs.astral.sh/uv) and try again",
        { cause },
      );
    }
    return new Uv(own);
  }

  /** Run to the end, quietly. @returns what it printed. */
  async ask(args: readonly string[], signal?: AbortSignal): Promise<string> {
    return (await execute(this.command, [...args], { signal, maxBuffer: 2 ** 26 })).stdout;
  }

  /** Run with uv's own progress bars on this process's stderr. */
  show(args: readonly string[], signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const child = spawn(this.command, [...args], { stdio: ["ignore", 2, 2], signal });
      child
        .on("error", reject)
        .on("close", (code, killed) =>
          code === 0 ? resolve() : reject(new Error(`uv ended with ${killed ?? `code ${code}`}`)),
        );
    });
  }
}

const answers = (command: string) =>
  execute(command, ["--version"]).then(
    () => true,
    () => false,
  );

/** The line of a failed command's output that says why. */
export function lastLine(error: unknown): string {
  const { stderr, message } = error as { readonly stderr?: string; readonly message: string };
  return (stderr?.trim() || message).split("\n").at(-1)!.trim();
}
