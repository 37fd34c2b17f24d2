import { type ChildProcess, spawn } from "node:child_process";
import { createServer } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { packageRoot } from "../../../src/core/package-root.ts";
import { descendants } from "./processes.ts";

/** A `vllm serve` of the tests' own. */
export interface Serving {
  readonly process: ChildProcess;
  readonly near: string;
  /** The same server under a name that is not this host's own: rows are streamed. */
  readonly far: string;
  /** End it and everything it started, at once. */
  kill(): void;
}

/**
 * Starts `vllm serve` with the plugin, in float32 and small.
 *
 * @param python one with vLLM.
 */
export async function serve(python: string, checkpoint: string, args: readonly string[]): Promise<Serving> {
  const port = await freePort();
  // What `vllm serve` runs; the command itself asks for a package named vllm, which the one for CPUs is not.
  const command = ["-m", "vllm.entrypoints.openai.api_server", "--model", checkpoint, "--port", `${port}`];
  const small = "--dtype float32 --max-num-seqs 16 --enforce-eager --gpu-memory-utilization 0.08".split(" ");
  const server = spawn(python, [...command, ...small, "--disable-uvicorn-access-log", ...args], {
    env: {
      ...process.env,
      PYTHONPATH: `${packageRoot}/python`,
      VLLM_PLUGINS: "moescope",
      VLLM_LOGGING_LEVEL: "ERROR",
    },
    stdio: ["ignore", 2, 2],
  });
  const near = `http://127.0.0.1:${port}`;
  await answering(server, near);
  return {
    process: server,
    near,
    far: `http://0.0.0.0:${port}`,
    kill: () => {
      for (const pid of server.pid ? [server.pid, ...descendants(server.pid)] : []) kill(pid);
    },
  };
}

async function answering(server: ChildProcess, url: string): Promise<void> {
  for (;;) {
    if (server.exitCode !== null) throw new Error(`the server ended with ${server.exitCode}`);
    const health = await fetch(`${url}/health`).catch(() => null);
    if (health?.ok) return;
    await sleep(500);
  }
}

function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const probe = createServer().listen(0, "127.0.0.1", () => {
      const { port } = probe.address() as { port: number };
      probe.close(() => resolve(port));
    });
  });
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // It has ended.
  }
}
