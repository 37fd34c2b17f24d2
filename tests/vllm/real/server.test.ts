import { execFile } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { packageRoot } from "../../../src/core/package-root.ts";
import { load } from "../../../src/run/load.ts";
import { demoCheckpoint } from "./checkpoints.ts";
import { descendants, soon, spools } from "./processes.ts";
import { type Serving, serve } from "./serve.ts";

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
  let server: Serving;

  beforeAll(async () => {
    const { python } = vllm as { python: string };
    folder = mkdtempSync(join(tmpdir(), "moescope-vllm-"));
    const checkpoint = await demoCheckpoint(inject("python"), folder);
    server = await serve(python, checkpoint, ["--max-model-len", "512", "--api-key", apiKey]);
  }, START);
  afterAll(() => {
    server?.kill();
    rmSync(folder, { recursive: true, force: true });
  });

  it("asks for its key", async () => {
    await expect(load(server.near)).rejects.toMatchObject({
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
      Array.from({ length: CLIENTS }, (_, i) => load(i % 2 === 0 ? server.near : server.far, { apiKey })),
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
    const llm = await load(server.far, { apiKey });
    const abort = new AbortController();
    const run = llm.capture(prompts[0]!, { maxTokens: 300, ignoreEos: true, signal: abort.signal });
    setTimeout(() => abort.abort(new Error("enough")), 500);
    await expect(run).rejects.toThrow("enough");
    expect((await llm.capture("The sky is")).complete).toBe(true);
  });

  it("is what the command line captures from", async () => {
    const args = [
      main,
      "capture",
      server.near,
      "The sky is",
      "--api-key",
      apiKey,
      "--max-tokens",
      "4",
      "--json",
    ];
    const { stdout } = await promisify(execFile)(process.execPath, args);
    expect(JSON.parse(stdout)).toMatchObject({ engine: { kind: "vllm" } });
  });

  it("ends, and leaves nothing of moescope's", async () => {
    const made = [server.process.pid!, ...descendants(server.process.pid!)];
    expect(made.flatMap(spools).length).toBeGreaterThan(0);
    const ended = new Promise((resolve) => server.process.once("exit", resolve));
    server.process.kill("SIGINT");
    await ended;
    expect(await soon(() => made.every((pid) => spools(pid).length === 0))).toBe(true);
  });
});
