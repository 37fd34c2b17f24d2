import { execFileSync } from "node:child_process";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, inject, it } from "vitest";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { readManifest } from "../../src/capture/folder/manifest.ts";
import type { Engine } from "../../src/core/engine.ts";
import { LlamaEngine } from "../../src/engines/llama/engine.ts";
import { exportCapture } from "../../src/export/export-capture.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { load } from "../../src/run/load.ts";
import { storedRun } from "../../src/run/stored-run.ts";
import { embeddingGguf } from "../fixtures/embedding-families.ts";
import { capturePath } from "../store/folder.ts";

const MODEL = embeddingGguf("nomic_bert_moe");
const OPTIONS = { threads: 1, kvType: "f32", flashAttention: false } as const;
const PROMPTS = Array.from({ length: 12 }, (_, i) =>
  Array.from({ length: 3 + i }, (_, j) => 5 + ((7 * i + j) % 150)),
);
/** About 20 rows, so that the embeddings are in several files. */
const SHARD_BYTES = 1500;

async function whole() {
  const llm = await load(MODEL, OPTIONS);
  try {
    return await llm.capture(PROMPTS);
  } finally {
    await llm.close();
  }
}

/** The engine, which fails after some samples have ended. */
async function failing(samples: number): Promise<LanguageModel> {
  const engine = await LlamaEngine.load(MODEL, OPTIONS);
  const run: Engine["run"] = async function* (...args) {
    let ended = 0;
    for await (const step of engine.run(...args)) {
      if (ended >= samples) throw new Error("the engine is gone");
      ended += step.finished.length;
      yield step;
    }
  };
  return LanguageModel.of(new Proxy(engine, { get: (of, key) => (key === "run" ? run : bound(of, key)) }));
}

const bound = (of: object, key: string | symbol) => {
  const value = Reflect.get(of, key, of);
  return typeof value === "function" ? value.bind(of) : value;
};

describe("embeddings in a folder", () => {
  it("are those in memory, with rows or without any", async () => {
    const memory = await whole();
    const llm = await load(MODEL, OPTIONS);
    for (const select of [{}, { phase: "generated" } as const]) {
      const folder = await capturePath();
      const into = new FolderSink(folder, { shardBytes: SHARD_BYTES });
      const captured = await llm.capture(PROMPTS, { select, into });
      for (const capture of [captured, await openCapture(folder)]) {
        expect(capture.embedding).toEqual({ pooling: "mean", normalize: true });
        expect(capture.outputs).toEqual(memory.outputs);
        expect(capture.outputs[3]!.embedding).toEqual(memory.outputs[3]!.embedding);
        expect(structuredClone(capture.outputs)).toEqual(memory.outputs);
        expect(capture.only([2, 5]).outputs.map(({ embedding }) => embedding)).toEqual(
          [2, 5].map((sample) => memory.outputs[sample]!.embedding),
        );
      }
      const { files } = (await readManifest(folder)).embeddings!;
      expect((await readdir(folder)).filter((file) => file.startsWith("embeddings-")).sort()).toEqual(files);
      if (!("phase" in select)) expect(files.length).toBeGreaterThan(2);
    }
    await llm.close();
  });

  it("come with those of a run that broke off, and are whole when it is resumed", async () => {
    const memory = await whole();
    const folder = await capturePath();
    const broken = await failing(7);
    const into = new FolderSink(folder, { shardBytes: SHARD_BYTES });
    await expect(broken.capture(PROMPTS, { into })).rejects.toThrow("the engine is gone");
    await broken.close();
    const part = await openCapture(folder);
    expect(part.complete).toBe(false);
    expect(part.outputs.length).toBeGreaterThan(0);
    for (const output of part.outputs) expect(output).toEqual(memory.outputs[output.sample]);

    const { model, settings } = await storedRun(folder);
    expect(settings).toMatchObject({ task: "embed", pooling: "mean", normalize: true });
    const llm = await load(model.source, { ...settings, threads: 1 });
    const resumed = await llm.resume(folder);
    await llm.close();
    expect(resumed.complete).toBe(true);
    expect(resumed.outputs).toEqual(memory.outputs);
  });

  it("are not made of an embedder that is loaded to generate, when its run is resumed either", async () => {
    const folder = await capturePath();
    const path = embeddingGguf("qwen3_embedding");
    const llm = await load(path, { ...OPTIONS, task: "generate" });
    await llm.capture(PROMPTS.slice(0, 2), { maxTokens: 2, into: folder });
    await llm.close();
    const again = await load(path, { ...(await storedRun(folder)).settings, threads: 1 });
    expect(again.task).toBe("generate");
    await again.close();
  });

  it("are read by Python with safetensors alone", async () => {
    const folder = await capturePath();
    const llm = await load(MODEL, OPTIONS);
    const { outputs } = await llm.capture(PROMPTS, { into: folder });
    await llm.close();
    const script = [
      "import json, sys",
      "from safetensors.numpy import load_file",
      "file = load_file(sys.argv[1] + '/embeddings-00000.safetensors')",
      "print(json.dumps([file['embeddings.sample'].tolist(), file['embeddings'].tolist()]))",
    ].join("\n");
    const [samples, vectors] = JSON.parse(
      execFileSync(inject("python"), ["-c", script, folder]).toString(),
    ) as [number[], number[][]];
    expect(samples).toEqual([...PROMPTS.keys()]);
    expect(vectors.map((vector) => Float32Array.from(vector))).toEqual(
      outputs.map(({ embedding }) => embedding),
    );
  });

  it("are exported for numpy", async () => {
    const [folder, arrays] = [await capturePath(), await capturePath()];
    const llm = await load(MODEL, OPTIONS);
    const captured = await llm.capture(PROMPTS, { into: folder });
    await llm.close();
    await exportCapture(captured, "npy", arrays);
    const script = "import json, sys, numpy; print(json.dumps(numpy.load(sys.argv[1]).tolist()))";
    const vectors = JSON.parse(
      execFileSync(inject("python"), ["-c", script, join(arrays, "embeddings.npy")]).toString(),
    ) as number[][];
    expect(vectors.map((vector) => Float32Array.from(vector))).toEqual(
      captured.outputs.map(({ embedding }) => embedding),
    );
    expect(JSON.parse(await readFile(join(arrays, "index.json"), "utf8")).embeddings).toEqual({
      pooling: "mean",
      normalize: true,
      samples: [...PROMPTS.keys()],
    });
  });

  it("that are damaged or gone are said to be", async () => {
    const folder = await capturePath();
    const llm = await load(MODEL, OPTIONS);
    await llm.capture(PROMPTS, { into: folder });
    await llm.close();
    const path = join(folder, "embeddings-00000.safetensors");
    const good = await readFile(path);
    const invalid = (words: string) => ({ code: "CAPTURE_INVALID", message: expect.stringContaining(words) });
    await writeFile(path, good.subarray(0, good.length - 8));
    await expect(openCapture(folder)).rejects.toMatchObject(invalid("is truncated"));
    const other = Buffer.from(good);
    other.write("embeddingx", other.indexOf("embeddings.sample"));
    await writeFile(path, other);
    await expect(openCapture(folder)).rejects.toMatchObject(invalid("has no embeddings with the samples"));
    await rm(path);
    await expect(openCapture(folder)).rejects.toMatchObject(invalid("is missing"));
    // A reader that knows nothing of embeddings leaves them out.
    const manifest = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8"));
    await writeFile(join(folder, "manifest.json"), JSON.stringify({ ...manifest, embeddings: undefined }));
    const without = await openCapture(folder);
    expect(without.embedding).toBeNull();
    expect(without.outputs[0]).not.toHaveProperty("embedding");
  });
});
