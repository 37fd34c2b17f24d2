import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { load } from "../../../src/load.ts";
import { packageRoot } from "../../../src/package-root.ts";
import { demoCheckpoint } from "./checkpoints.ts";
import { descendants, soon, spools } from "./processes.ts";

const START = 600_000;
const CLIENTS = 20;
const apiKey = "secret";

const vllm = inject("vllm");
const main = join(packageRoot, "dist", "cli", "main.js");
const lines = readFileSync(join(packageRoot, "models", "demo", "prompts.jsonl"), "utf8")
  .trim()
  .split("\n");
const prompts = lines.map((line) => (JSON.parse(line) as { prompt: string }).prompt);

describe.skipIf("missing" in vllm)("vllm serve with the plugin", { timeout: START }, () => {
  let folder = "";
  let server: ChildProcess;
  let port = 0;
  const near = () => `http://127.0.0.1:${port}`;
  /** The same server under a name that is not this host's own: rows are streamed. */
  const far = () => `http://0.0.0.0:${port}`;

  beforeAll(async () => {
    const { python } = vllm as { python: string };
    folder = mkdtempSync(join(tmpdir(), "moescope-vllm-"));
    const checkpoint = await demoCheckpoint(inject("python"), folder);
    port = await freePort();
    const { stdout } = await promisify(execFile)(process.execPath, [main, "plugin-path"]);
    // What `vllm serve` runs; the command itself asks for a package named vllm, which the one for CPUs is not.
    const command = ["-m", "vllm.entrypoints.openai.api_server", "--model", checkpoint, "--port", `${port}`];
    const small = "--dtype float32 --max-model-len 512 --max-num-seqs 16 --enforce-eager".split(" ");
    const share = ["--gpu-memory-utilization", "0.08", "--api-key", apiKey];
    server = spawn(python, [...command, ...small, ...share], {
      env: {
        ...process.env,
        PYTHONPATH: stdout.trim(),
        VLLM_PLUGINS: "moescope",
        VLLM_LOGGING_LEVEL: "ERROR",
      },
      stdio: ["ignore", 2, 2],
    });
    await answering(server, near());
  }, START);
  afterAll(() => {
    for (const pid of server?.pid ? [server.pid, ...descendants(server.pid)] : []) kill(pid);
    rmSync(folder, { recursive: true, force: true });
  });

  it("asks for its key", async () => {
    await expect(load(near())).rejects.toMatchObject({
      code: "ENGINE_UNAVAILABLE",
      message: expect.stringContaining("wants an API key"),
    });
  });

  it("serves twenty clients at once, near and far, each its own rows", async () => {
    const reference = await load(join(packageRoot, "models", "demo", "demo-moe.gguf"), {
      kvType: "f32",
      flashAttention: false,
    });
    const clients = await Promise.all(
      Array.from({ length: CLIENTS }, (_, i) => load(i % 2 === 0 ? near() : far(), { apiKey })),
    );
    const streams = ["router_logits", "expert_ids"] as const;
    const captures = await Promise.all(
      clients.map((llm, i) =>
        llm.capture([prompts[i]!, prompts[i + 20]!], { streams, maxTokens: 4, ignoreEos: true }),
      ),
    );
    let [same, all] = [0, 0];
    for (const [i, capture] of captures.entries()) {
      const ids = [prompts[i]!, prompts[i + 20]!];
      const theirs = await reference.capture(ids, { streams });
      for (const sample of [0, 1]) {
        const [a, b] = [capture.sample(sample), theirs.sample(sample)];
        const length = b.rows.length;
        expect(a.rows.length).toBe(length + 3);
        expect(a.rows.tokenId.slice(0, length)).toEqual(b.rows.tokenId);
        expect(a.rows.text.slice(0, length)).toEqual(b.rows.text);
        expect(capture.outputs[sample]!.tokens).toHaveLength(4);
        for (const [layer, chosen] of b.expertIds)
          for (let row = 0; row < length; row++) {
            const set = (data: ArrayLike<number>) =>
              [data[2 * row]!, data[2 * row + 1]!].sort((x, y) => x - y).join();
            all++;
            if (set(a.expertIds.get(layer)!.data) === set(chosen.data)) same++;
          }
      }
    }
    await reference.close();
    expect(same / all).toBeGreaterThanOrEqual(0.99);
    await Promise.all(clients.map((llm) => llm.close()));
  });

  it("goes on serving after a client has left in the middle", async () => {
    const llm = await load(far(), { apiKey });
    const abort = new AbortController();
    const run = llm.capture(prompts[0]!, { maxTokens: 300, ignoreEos: true, signal: abort.signal });
    setTimeout(() => abort.abort(new Error("enough")), 500);
    await expect(run).rejects.toThrow("enough");
    expect((await llm.capture("The sky is")).complete).toBe(true);
  });

  it("is what the command line captures from", async () => {
    const args = [main, "capture", near(), "The sky is", "--api-key", apiKey, "--max-tokens", "4", "--json"];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    expect(JSON.parse(stdout)).toMatchObject({ engine: { kind: "vllm" } });
  });

  it("ends, and leaves nothing of moescope's", async () => {
    const made = [server.pid!, ...descendants(server.pid!)];
    expect(made.flatMap(spools).length).toBeGreaterThan(0);
    const ended = new Promise((resolve) => server.once("exit", resolve));
    server.kill("SIGINT");
    await ended;
    expect(await soon(() => made.every((pid) => spools(pid).length === 0))).toBe(true);
  });
});

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
