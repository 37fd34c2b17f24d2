import { execFile } from "node:child_process";
import {
  copyFileSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, describe, expect, it } from "vitest";
import { MoescopeError } from "../../src/core/errors.ts";
import { packageRoot } from "../../src/core/package-root.ts";
import { findLibrary } from "../../src/engines/llama/native/library.ts";
import { load } from "../../src/run/load.ts";
import { ggufOf, maxDifference } from "../fixtures/families.ts";
import { splitGguf } from "../fixtures/split-gguf.ts";

const folder = mkdtempSync(join(tmpdir(), "moescope-robustness-"));
afterAll(() => rmSync(folder, { recursive: true }));
const small = { threads: 1, contextSize: 128 } as const;
const mixtral = ggufOf("mixtral");

async function failure(promise: Promise<unknown>): Promise<MoescopeError> {
  const error = await promise.then(
    () => undefined,
    (reason) => reason,
  );
  expect(error).toBeInstanceOf(MoescopeError);
  return error;
}

describe("model files", () => {
  it("a wrong path, a folder, another format", async () => {
    expect(await failure(load(join(folder, "none.gguf")))).toMatchObject({
      name: "ModelError",
      code: "MODEL_NOT_FOUND",
    });
    expect(await failure(load(folder))).toMatchObject({ code: "MODEL_NOT_FOUND" });
    const text = join(folder, "text.gguf");
    writeFileSync(text, "this is no model, it is a text");
    expect(await failure(load(text))).toMatchObject({
      code: "MODEL_INVALID",
      message: expect.stringContaining(text),
    });
    writeFileSync(text, "");
    expect(await failure(load(text))).toMatchObject({ code: "MODEL_INVALID" });
  });

  it("cut off anywhere", async () => {
    const size = readFileSync(mixtral).length;
    for (const part of [0.0001, 0.003, 0.02, 0.04, 0.3, 0.6, 0.9, 0.999]) {
      const file = join(folder, "cut.gguf");
      copyFileSync(mixtral, file);
      truncateSync(file, Math.floor(size * part));
      expect(await failure(load(file, small)), `at ${part}`).toMatchObject({ code: "MODEL_INVALID" });
    }
  });

  it("damaged: a tensor with another shape, an architecture nobody knows", async () => {
    const bytes = readFileSync(mixtral);
    const unknown = Buffer.from(bytes);
    unknown.write("lama9", bytes.indexOf("general.architecture") + 20 + 4 + 8);
    writeFileSync(join(folder, "unknown.gguf"), unknown);
    expect(await failure(load(join(folder, "unknown.gguf"), small))).toMatchObject({ code: "MODEL_INVALID" });
    const shaped = Buffer.from(bytes);
    const info = bytes.indexOf("token_embd.weight") + "token_embd.weight".length + 4;
    shaped.writeBigUInt64LE(bytes.readBigUInt64LE(info) * 2n, info);
    writeFileSync(join(folder, "shaped.gguf"), shaped);
    expect(await failure(load(join(folder, "shaped.gguf"), small))).toMatchObject({ code: "MODEL_INVALID" });
  });

  it("split models load from any part and give the same rows", async () => {
    const parts = splitGguf(ggufOf("qwen3_moe"), 3, join(folder, "split"));
    const rows = async (path: string) => {
      const llm = await load(path, small);
      const capture = await llm.capture("The router sent", { streams: ["router_logits", "hidden_states"] });
      await llm.close();
      return capture;
    };
    const whole = await rows(ggufOf("qwen3_moe"));
    for (const part of [parts[0]!, parts[2]!]) {
      const capture = await rows(part);
      expect(capture.model).toMatchObject({
        layers: 3,
        parameters: whole.model.parameters,
        moe: whole.model.moe,
      });
      for (const [layer, { data }] of whole.hiddenStates)
        expect(maxDifference(data, capture.hiddenStates.get(layer)!.data)).toBe(0);
    }
    rmSync(parts[1]!);
    expect(await failure(load(parts[0]!, small))).toMatchObject({
      code: "MODEL_NOT_FOUND",
      message: expect.stringContaining("3 parts"),
    });
  });
});

describe("requests", () => {
  it("an unknown layer or stream, a prompt beyond the context, bad tokens and options", async () => {
    const llm = await load(ggufOf("deepseek_v2"), small);
    const rejects = async (prompt: never, options: object, expected: object) =>
      expect(await failure(llm.capture(prompt as never, options))).toMatchObject({
        name: "RequestError",
        ...expected,
      });
    await rejects(
      "a" as never,
      { layers: [3] },
      { code: "UNKNOWN_LAYER", message: expect.stringContaining("0 to 2") },
    );
    await rejects(
      "a" as never,
      { layers: [0] },
      { code: "UNKNOWN_LAYER", message: expect.stringContaining("1-2") },
    );
    await rejects("a" as never, { layers: [0.5] }, { code: "UNKNOWN_LAYER" });
    await rejects("a" as never, { streams: ["logits"] }, { code: "UNKNOWN_STREAM" });
    await rejects("word ".repeat(200) as never, {}, { code: "CONTEXT_OVERFLOW" });
    await rejects("a" as never, { maxTokens: 128 }, { code: "CONTEXT_OVERFLOW" });
    await rejects("" as never, {}, { code: "INVALID_ARGUMENT" });
    await rejects([] as never, {}, { code: "INVALID_ARGUMENT" });
    await rejects(
      [1, 288] as never,
      {},
      { code: "INVALID_ARGUMENT", message: expect.stringContaining("288") },
    );
    await rejects([1, -1] as never, {}, { code: "INVALID_ARGUMENT" });
    await rejects({ prompt: "a", tokenIds: [1] } as never, {}, { code: "INVALID_ARGUMENT" });
    await rejects(null as never, {}, { code: "INVALID_ARGUMENT" });
    for (const options of [
      { maxTokens: -1 },
      { temperature: Number.NaN },
      { topP: 0 },
      { seed: 2 ** 32 },
      { stop: [""] },
    ])
      await rejects("a" as never, options, { code: "INVALID_ARGUMENT" });
    // The engine is none the worse.
    expect(
      (await llm.capture("a", { layers: [0, -1], streams: ["router_logits", "hidden_states"] })).rows.length,
    ).toBe(1);
    await llm.close();
  });

  it("a cache that cannot exist is refused before the machine runs out of memory", async () => {
    expect(await failure(load(mixtral, { contextSize: 1 << 30 }))).toMatchObject({ code: "OUT_OF_MEMORY" });
    expect(await failure(load(mixtral, { contextSize: 0 }))).toMatchObject({ code: "INVALID_ARGUMENT" });
    expect(await failure(load(mixtral, { parallel: 1000 }))).toMatchObject({ code: "INVALID_ARGUMENT" });
  });

  it("a dense model has hidden states, empty router streams and one warning", async () => {
    const warnings: Error[] = [];
    const listen = (warning: Error) => warnings.push(warning);
    process.on("warning", listen);
    const llm = await load(ggufOf("qwen3_dense"), small);
    const capture = await llm.capture("a b", { streams: ["router_logits", "expert_ids", "hidden_states"] });
    await llm.capture("a b");
    await new Promise((resolve) => setImmediate(resolve));
    process.off("warning", listen);
    expect(capture.routerLogits.size).toBe(0);
    expect([...capture.routerLogits]).toEqual([]);
    expect(capture.hiddenStates.size).toBe(capture.model.layers);
    expect(warnings.filter(({ name }) => name === "MoescopeWarning")).toHaveLength(1);
    await llm.close();
  });
});

describe("lifetime", () => {
  it("an abort ends a run with the signal's reason, and the next run is right", async () => {
    const llm = await load(ggufOf("qwen3_moe"), { threads: 1, contextSize: 4096 });
    const long = Array.from({ length: 2000 }, (_, i) => 3 + (i % 200));
    const before = await llm.capture([5, 6, 7]);
    for (const delay of [0, 1, 5, 20, 60]) {
      const controller = new AbortController();
      const reason = new Error(`after ${delay} ms`);
      setTimeout(() => controller.abort(reason), delay);
      const options = { maxTokens: 2000, ignoreEos: true, signal: controller.signal };
      await expect(llm.capture([long], options)).rejects.toBe(reason);
    }
    const after = await llm.capture([5, 6, 7]);
    for (const [layer, { data }] of before.routerLogits)
      expect(maxDifference(data, after.routerLogits.get(layer)!.data)).toBe(0);
    await expect(llm.capture("a", { signal: AbortSignal.abort("no") })).rejects.toBe("no");
    await llm.close();
  });

  it("runs wait for each other; closing is final and may be repeated", async () => {
    const llm = await load(mixtral, small);
    const captures = await Promise.all(["a b c", "d e", "f"].map((text) => llm.capture(text)));
    expect(captures.map(({ samples }) => samples.length)).toEqual([1, 1, 1]);
    await Promise.all([llm.close(), llm.close()]);
    expect(await failure(llm.capture("a"))).toMatchObject({ code: "ENGINE_CLOSED" });
    expect(await failure(llm.tokenize("a"))).toMatchObject({ code: "ENGINE_CLOSED" });
  });

  it("closing in the middle of a run rejects it", async () => {
    const llm = await load(mixtral, { threads: 1, contextSize: 512 });
    const running = failure(llm.capture("a", { maxTokens: 500, ignoreEos: true }));
    await new Promise((resolve) => setTimeout(resolve, 10));
    await llm.close();
    expect(await running).toMatchObject({ code: "ENGINE_CLOSED" });
  });

  it("two engines side by side do not disturb each other", async () => {
    const [a, b] = await Promise.all([load(mixtral, small), load(ggufOf("gpt_oss"), small)]);
    const alone = await a.capture("The router", { maxTokens: 40, ignoreEos: true });
    const [again] = await Promise.all([
      a.capture("The router", { maxTokens: 40, ignoreEos: true }),
      b.capture("The router", { maxTokens: 40, ignoreEos: true }),
    ]);
    expect(again.outputs).toEqual(alone.outputs);
    for (const [layer, { data }] of alone.routerLogits)
      expect(maxDifference(data, again.routerLogits.get(layer)!.data)).toBe(0);
    await Promise.all([a.close(), b.close()]);
  });

  it("a program that forgets to close still ends", async () => {
    const script = `import { load } from ${JSON.stringify(join(packageRoot, "dist/index.js"))};
      const llm = await load(${JSON.stringify(mixtral)}, { contextSize: 128 });
      console.log((await llm.capture("a b")).rows.length);`;
    const { stdout } = await promisify(execFile)(process.execPath, ["--input-type=module", "-e", script], {
      timeout: 20_000,
    });
    expect(Number(stdout)).toBeGreaterThan(0);
  });
});

describe("llama.cpp itself", () => {
  it("missing or of another version is an error that says what to do", async () => {
    expect(() => findLibrary({ MOESCOPE_LLAMA_DIR: join(folder, "nowhere") })).toThrowError(/does not exist/);
    expect(() => findLibrary({ MOESCOPE_LLAMA_DIR: folder })).toThrowError(/holds no ggml-base/);
    // Libraries that are something else altogether.
    const files = findLibrary();
    const wrong = mkdtempSync(join(folder, "wrong-"));
    for (const name of ["libllama.so", "libggml.so", "libggml-base.so"])
      symlinkSync(files.base, join(wrong, name));
    process.env.MOESCOPE_LLAMA_DIR = wrong;
    try {
      expect(await failure(load(mixtral, small))).toMatchObject({
        name: "EngineError",
        code: "ENGINE_INCOMPATIBLE",
      });
    } finally {
      delete process.env.MOESCOPE_LLAMA_DIR;
    }
  });
});
