import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { analyzeCapture } from "../../../src/analysis/analyze.ts";
import type { Capture } from "../../../src/capture/capture.ts";
import { openCapture } from "../../../src/capture/folder/folder-source.ts";
import { packageRoot } from "../../../src/core/package-root.ts";
import * as hs from "../../../src/hs.ts";
import type { LanguageModel } from "../../../src/run/language-model.ts";
import { load } from "../../../src/run/load.ts";
import { demoCheckpoint } from "./checkpoints.ts";
import { alive, descendants, soon, spools, workers } from "./processes.ts";

/** vLLM itself, on the CPU: it imports for seconds and takes longer where the machine does something else. */
const START = 600_000;

const vllm = inject("vllm");
const python = "python" in vllm ? vllm.python : "";
const small = { engine: "vllm", python, dtype: "float32", enforceEager: true, maxNumSeqs: 16 } as const;
/** vLLM's share of the machine's memory: the CPU build takes it for its cache. */
const memory = { gpuMemoryUtilization: 0.08 } as const;
const everything = ["router_logits", "expert_ids", "expert_weights", "hidden_states"] as const;
/** The embedded engine, as near to vLLM's arithmetic as it gets. */
const EXACT = { kvType: "f32", flashAttention: false } as const;
const endless = { maxTokens: 400, ignoreEos: true } as const;

const lines = readFileSync(join(packageRoot, "models", "demo", "prompts.jsonl"), "utf8")
  .trim()
  .split("\n");
const prompts = lines.map((line) => JSON.parse(line) as { prompt: string; label: string });
const texts = ["What is 12 + 7?", "Der Hund schläft im Garten.", "def add(a, b):"];

let folder = "";
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "moescope-vllm-"));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf("missing" in vllm)("the demo model in vLLM", { timeout: START }, () => {
  let llm: LanguageModel;
  let checkpoint = "";

  beforeAll(async () => {
    checkpoint = await demoCheckpoint(inject("python"), folder);
    const stages = new Set<string>();
    const onStart = ({ stage }: { stage: string }) => stages.add(stage);
    llm = await load(checkpoint, { ...small, ...memory, maxModelLen: 512, onStart });
    expect([...stages]).toEqual(expect.arrayContaining(["import", "model"]));
  }, START);
  afterAll(() => llm?.close());

  it("is the model that the embedded engine runs", async () => {
    const reference = await load(join(packageRoot, "models", "demo", "demo-moe.gguf"), {
      kvType: "f32",
      flashAttention: false,
    });
    const moe = { ...reference.info.moe };
    expect({ ...llm.info.moe }).toEqual(moe);
    const theirs = await reference.capture(prompts, { streams: everything });
    const ours = await llm.capture(prompts, { streams: everything });
    await reference.close();
    expect(ours.complete).toBe(true);
    for (const column of ["sample", "position", "tokenId", "text", "phase", "label"] as const)
      expect(ours.rows[column]).toEqual(theirs.rows[column]);
    expect([...ours.hiddenStates.keys()]).toEqual([...theirs.hiddenStates.keys()]);
    expect(agreement(ours, theirs)).toBeGreaterThanOrEqual(0.99);
  });

  it("serves EasySteer's functions", async () => {
    const [logits, outputs] = await hs.getMoeRouterLogits(llm, texts);
    const layers = llm.info.moe!.layers;
    const tokens = await Promise.all(texts.map(async (text) => (await llm.tokenize(text)).length));
    const total = tokens.reduce((sum, n) => sum + n, 0);
    expect([...logits.keys()]).toEqual(layers);
    expect(logits.get(0)!.dims).toEqual([total, llm.info.moe!.experts]);
    expect(outputs).toHaveLength(3);
    const [split, generated] = await hs.getMoeRouterLogitsGenerate(llm, {
      prompts: texts,
      maxTokens: 6,
      ignoreEos: true,
      splitBySamples: true,
    });
    expect(split.map((sample) => sample.get(0)!.dims[0])).toEqual(tokens.map((n) => n + 5));
    expect(generated.map((output) => output.tokens.length)).toEqual([6, 6, 6]);
    expect(generated[0]!.text).toBe(await llm.detokenize(generated[0]!.tokens));
    const [hidden] = await hs.getAllHiddenStates(llm, texts);
    expect(hidden[1]!.get(2)!.dims).toEqual([tokens[1], llm.info.hiddenSize]);
  });

  it("selects rows and layers", async () => {
    const options = { streams: ["router_logits", "hidden_states"], maxTokens: 6, ignoreEos: true } as const;
    const whole = await llm.capture(texts, options);
    const part = await llm.capture(texts, {
      ...options,
      layers: [1, -1],
      select: { phase: "generated", last: 2 },
    });
    const last = llm.info.layers - 1;
    expect([...part.hiddenStates.keys()]).toEqual([1, last]);
    for (let sample = 0; sample < texts.length; sample++) {
      const [all, some] = [whole.sample(sample), part.sample(sample)];
      expect([...some.rows.position]).toEqual([...all.rows.position.slice(-2)]);
      expect(some.rows.phase).toEqual(["generated", "generated"]);
      const size = 2 * llm.info.moe!.experts;
      expect(
        distance(some.routerLogits.get(1)!.data, all.routerLogits.get(1)!.data.slice(-size)),
      ).toBeLessThan(1e-3);
    }
  });

  it("selects by token, window, step and prompt as the embedded engine does, and makes means of its rows", async () => {
    const embedded = await load(join(packageRoot, "models", "demo", "demo-moe.gguf"), EXACT);
    try {
      const tokens = await embedded.encode(texts[0]!);
      const streams = ["router_logits", "hidden_states"] as const;
      for (const select of [
        { positions: [-1] },
        { any: [{ positions: [-2, 0] }, { steps: [1] }] },
        { tokenIds: [tokens[1]!, tokens[3]!], phase: "prompt" },
        { phase: "prompt", window: [1, -1], exclude: { tokenIds: [tokens[2]!] }, last: 3 },
        { stepWindow: [1, null] },
      ] as const) {
        const options = { streams, select, maxTokens: 4, ignoreEos: true };
        const [ours, theirs] = [await llm.capture(texts, options), await embedded.capture(texts, options)];
        expect(ours.rows.length).toBeGreaterThan(0);
        for (const column of ["sample", "position", "tokenId"] as const)
          expect(ours.rows[column], JSON.stringify(select)).toEqual(theirs.rows[column]);
        const means = await llm.capture(texts, { ...options, reduce: "mean" });
        expect([...means.rows.sample]).toEqual([...new Set(ours.rows.sample)]);
        for (const sample of means.rows.sample)
          for (const [layer, { data }] of means.sample(sample).hiddenStates) {
            const rows = ours.sample(sample).hiddenStates.get(layer)!;
            const mean = data.map((_, i) => {
              const column = rows.data.filter((_, at) => at % data.length === i);
              return column.reduce((sum, x) => sum + x, 0) / column.length;
            });
            expect(distance(data, mean)).toBeLessThan(1e-3);
          }
      }
      const own = { prompt: texts[1]!, select: { positions: [-1] } };
      const { rows } = await llm.capture([texts[0]!, own], { streams, select: { positions: [0] } });
      expect([...rows.position]).toEqual([0, (await llm.encode(texts[1]!)).length - 1]);
    } finally {
      await embedded.close();
    }
  });

  it("tells log-probabilities, which are the embedded engine's, and draws n samples of a prompt", async () => {
    const embedded = await load(join(packageRoot, "models", "demo", "demo-moe.gguf"), EXACT);
    const options = {
      streams: ["expert_ids"],
      maxTokens: 5,
      ignoreEos: true,
      logprobs: true,
      promptLogprobs: true,
    } as const;
    try {
      const [ours, theirs] = [await llm.capture(texts, options), await embedded.capture(texts, options)];
      for (const { sample, tokens, logprobs, promptLogprobs } of theirs.outputs) {
        const own = ours.outputs[sample]!;
        expect(own.tokens).toEqual(tokens);
        // llama.cpp multiplies the demo's bfloat16 weights in bfloat16; another token's would be whole numbers away.
        expect(distance(own.logprobs!, logprobs!)).toBeLessThan(0.1);
        expect(own.promptLogprobs![0]).toBeNaN();
        expect(own.promptLogprobs).toHaveLength(promptLogprobs!.length);
        expect(distance(own.promptLogprobs!.slice(1), promptLogprobs!.slice(1))).toBeLessThan(0.1);
      }
    } finally {
      await embedded.close();
    }
    const drawn = await hs.capture(llm, [texts[0]!], { n: 3, temperature: 2, maxTokens: 8, logprobs: true });
    expect(new Set(drawn.outputs.map(({ text }) => text)).size).toBeGreaterThan(1);
    for (const { sample, promptTokenIds, tokens, logprobs } of drawn.outputs) {
      expect(drawn.sampleTokenIds(sample)).toEqual([...promptTokenIds, ...tokens.slice(0, -1)]);
      expect(logprobs).toHaveLength(tokens.length);
    }
  });

  it("writes a folder that is analysed as any other", async () => {
    const into = join(folder, "run");
    const written = await llm.capture(prompts.slice(0, 12), { into, maxTokens: 4 });
    const opened = await openCapture(into);
    expect(opened.engine).toEqual({ kind: "vllm", version: llm.engine.version });
    expect(opened.complete).toBe(true);
    expect(opened.rows.text).toEqual(written.rows.text);
    expect(opened.outputs.map(({ text }) => text)).toEqual(written.outputs.map(({ text }) => text));
    const analysis = await analyzeCapture(opened);
    expect(analysis.layers).toHaveLength(llm.info.moe!.layers.length);
  });

  it("stops in the middle and goes on", async () => {
    const abort = new AbortController();
    const run = llm.capture(texts, {
      ...endless,
      signal: abort.signal,
      onProgress: ({ tokens }) => tokens > 60 && abort.abort(new Error("enough")),
    });
    await expect(run).rejects.toThrow("enough");
    let seen = 0;
    for await (const _ of llm.stream(texts, endless)) if (++seen === 40) break;
    const after = await llm.capture(texts[0]!, { maxTokens: 3, ignoreEos: true });
    expect(after.rows.length).toBe((await llm.tokenize(texts[0]!)).length + 2);
  });

  it("says so when its process is killed in the middle, and leaves nothing", async () => {
    const [worker] = workers();
    const processes = [worker!, ...descendants(worker!)];
    expect(spools(worker!)).toHaveLength(1);
    const run = llm.capture(texts, {
      ...endless,
      onProgress: ({ tokens }) => tokens > 60 && alive(worker!) && process.kill(worker!, "SIGKILL"),
    });
    await expect(run).rejects.toMatchObject({ code: "ENGINE_CRASHED", retryable: true });
    await expect(llm.capture(texts)).rejects.toMatchObject({ code: "ENGINE_CRASHED" });
    expect(await soon(() => !processes.some(alive))).toBe(true);
    expect(await soon(() => spools(worker!).length === 0)).toBe(true);
    await llm.close();
  });

  it(
    "ends with its parent, also when that is killed",
    async () => {
      const program = `
      import { load } from ${JSON.stringify(join(packageRoot, "dist", "index.js"))};
      const llm = await load(process.argv[1], JSON.parse(process.argv[2]));
      for await (const { position } of llm.stream("The", { maxTokens: 400, ignoreEos: true }))
        if (position === 5) console.log("running");`;
      const options = JSON.stringify({ ...small, ...memory, maxModelLen: 512 });
      const parent = spawn(process.execPath, ["--input-type=module", "-e", program, checkpoint, options], {
        stdio: ["ignore", "pipe", "inherit"],
      });

      for await (const line of createInterface({ input: parent.stdout })) if (line === "running") break;
      const processes = descendants(parent.pid!);
      const [worker] = processes;
      expect(spools(worker!)).toHaveLength(1);
      parent.kill("SIGKILL");
      expect(await soon(() => !processes.some(alive))).toBe(true);
      expect(await soon(() => spools(worker!).length === 0)).toBe(true);
    },
    START,
  );
});

/** Share of tokens and layers for which two captures have the same set of experts. */
function agreement(a: Capture, b: Capture): number {
  let same = 0;
  let all = 0;
  for (const [layer, ours] of a.expertIds) {
    const theirs = b.expertIds.get(layer)!;
    const [rows, topK] = ours.dims as [number, number];
    for (let row = 0; row < rows; row++) {
      const set = (data: ArrayLike<number>) =>
        Array.from({ length: topK }, (_, k) => data[row * topK + k]!)
          .sort((x, y) => x - y)
          .join();
      all++;
      if (set(ours.data) === set(theirs.data)) same++;
    }
  }
  return same / all;
}

const distance = (a: Float32Array, b: Float32Array) =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), a.length === b.length ? 0 : Infinity);
