import { spawn } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";
import type { VllmOptions } from "../../src/engines/vllm/options.ts";
import { load } from "../../src/run/load.ts";
import { soon } from "./real/processes.ts";

const python = fileURLToPath(new URL("./fake-worker.mjs", import.meta.url));

/** What the fake worker tells of itself as it starts. */
interface Whereabouts {
  processes: number[];
  spool: string;
}

async function start(scenario: string, options: VllmOptions & { signal?: AbortSignal } = {}) {
  const at: Whereabouts = { processes: [], spool: "" };
  const onStart = ({ text }: { text: string }) => {
    const [worker, child, spool] = text.split(" ");
    Object.assign(at, { processes: [Number(worker), Number(child)], spool });
  };
  const loading = load(scenario, { engine: "vllm", python, onStart, ...options });
  // A test that fails leaves nothing either.
  onTestFinished(async () => loading.then((llm) => llm.close()).catch(() => {}));
  return { at, loading };
}

async function started(scenario: string, options: VllmOptions = {}) {
  const { at, loading } = await start(scenario, options);
  return { at, llm: await loading };
}

const isRunning = (pid: number) => {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
};
const nothingLeft = ({ processes, spool }: Whereabouts) =>
  soon(() => processes.length === 2 && !processes.some(isRunning) && !existsSync(spool));
const logits = { streams: ["router_logits"] } as const;

describe.skipIf(process.platform === "win32")("vLLM in a process of our own", () => {
  it("captures labelled rows, and deletes their files", async () => {
    const { at, llm } = await started("whole", { maxModelLen: 128, tensorParallelSize: 2 });
    expect(llm.engine).toEqual({ kind: "vllm", version: "0.32.0" });
    expect(llm.contextSize).toBe(128);
    const capture = await llm.capture(["ab", { prompt: "xyz", label: "end" }], { ...logits, maxTokens: 3 });
    expect(capture.rows.text).toEqual(["a", "b", "a", "b", "x", "y", "z", "a", "b"]);
    expect(capture.rows.phase.filter((phase) => phase === "generated")).toHaveLength(4);
    expect(capture.rows.label.slice(3, 5)).toEqual([null, "end"]);
    expect(capture.routerLogits.get(1)!.dims).toEqual([9, 4]);
    expect([...capture.routerLogits.get(1)!.data.slice(0, 4)]).toEqual([1097, 1097.25, 1097.5, 1097.75]);
    expect(capture.outputs.map(({ text, reason }) => ({ text, reason }))).toEqual([
      { text: "abc", reason: "length" },
      { text: "abc", reason: "length" },
    ]);
    expect(await llm.detokenize(await llm.tokenize("héllo"))).toBe("héllo");
    expect(readdirSync(at.spool)).toEqual([]);
    await llm.close();
    expect(await nothingLeft(at)).toBe(true);
    await expect(llm.capture("ab", logits)).rejects.toMatchObject({ code: "ENGINE_CLOSED" });
    await llm.close();
  });

  it("hands on the vectors of an embedding model, which does not generate", async () => {
    const { llm } = await started("embedder");
    expect(llm.task).toBe("embed");
    expect(llm.embedding).toEqual({ pooling: "mean", normalize: true });
    const { outputs } = await llm.capture(["ab", "xyz"], logits);
    expect(outputs.map(({ embedding }) => [...embedding!])).toEqual([
      [Math.fround(0.6), Math.fround(0.8)],
      [Math.fround(0.6), Math.fround(0.8)],
    ]);
    await expect(llm.capture("ab", { ...logits, maxTokens: 2 })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
    await llm.close();
  });

  it("runs one capture after the other when several are asked for at once", async () => {
    const { llm } = await started("whole");
    const captures = await Promise.all(["ab", "cde", "f"].map((text) => llm.capture(text, logits)));
    expect(captures.map(({ rows }) => rows.text.join(""))).toEqual(["ab", "cde", "f"]);
    await llm.close();
  });

  it.each([
    [
      "crash",
      { code: "ENGINE_CRASHED", message: expect.stringContaining("(RuntimeError: the driver is too old)") },
    ],
    [
      "out of memory",
      { code: "OUT_OF_MEMORY", message: expect.stringContaining("Tried to allocate 2.00 GiB") },
    ],
    ["refused", { code: "MODEL_NOT_FOUND", message: "there is no such model" }],
    [
      "another version",
      { code: "ENGINE_CRASHED", message: expect.stringContaining("no message of the protocol") },
    ],
  ])("says why it does not start: %s", async (scenario, error) => {
    const { at, loading } = await start(scenario);
    await expect(loading).rejects.toMatchObject(error);
    expect(await nothingLeft(at)).toBe(true);
  });

  it.each([
    ["no logits", "router_logits", /layers 0-1: its modules keep them to themselves\. Leave the stream out/],
    ["no layers", "router_logits", /^fake has MoE layers, but they are of a kind nobody knows\. Leave/],
    ["whole", "hidden_states", /layers 0-1: vLLM was started without it; name it in the option `streams`/],
    ["whole", "attention", /^vllm has no attention; leave them out$/],
  ])("says why a stream is not there: %s, %s", async (scenario, stream, message) => {
    const { llm } = await started(scenario);
    await expect(llm.capture("ab", { streams: [stream] })).rejects.toMatchObject({
      code: "UNKNOWN_STREAM",
      message: expect.stringMatching(message),
    });
    await llm.close();
  });

  it("warns of a vLLM it was not tried with", async () => {
    const warned = vi.spyOn(process, "emitWarning").mockReturnValue();
    const { llm } = await started("untested");
    expect(warned).toHaveBeenCalledWith(expect.stringMatching(/^vLLM 0\.32\.0 was not tried/), {
      type: "MoescopeWarning",
      code: "UNTESTED_VLLM",
    });
    warned.mockRestore();
    await llm.close();
  });

  it("gives up after startTimeout, and at once when it is aborted", async () => {
    const late = await start("silent", { startTimeout: 1500 });
    await expect(late.loading).rejects.toMatchObject({
      code: "ENGINE_FAILED",
      message: expect.stringContaining("1.5 s"),
    });
    expect(await nothingLeft(late.at)).toBe(true);
    const abort = new AbortController();
    const aborted = await start("silent", {
      signal: abort.signal,
    });
    expect(await soon(() => aborted.at.spool !== "")).toBe(true);
    abort.abort(new Error("no patience"));
    await expect(aborted.loading).rejects.toThrow("no patience");
    expect(await nothingLeft(aborted.at)).toBe(true);
  });

  it.each(["killed", "babble"])("ends every call when it breaks in the middle: %s", async (scenario) => {
    const { at, llm } = await started(scenario);
    const asked = llm.capture("ab", { ...logits, maxTokens: 50 });
    const waiting = llm.capture("cd", logits);
    await expect(asked).rejects.toMatchObject({ code: "ENGINE_CRASHED", retryable: true });
    await expect(waiting).rejects.toMatchObject({ code: "ENGINE_CRASHED" });
    await expect(llm.tokenize("x")).rejects.toMatchObject({ code: "ENGINE_CRASHED" });
    expect(await nothingLeft(at)).toBe(true);
    await llm.close();
  });

  it("is ended when it hangs: its step is late, or it does not stop", async () => {
    const { at, llm } = await started("hangs", { stepTimeout: 2000 });
    const asked = llm.capture("ab", { ...logits, maxTokens: 50 });
    const waiting = llm.capture("cd", logits);
    waiting.catch(() => {});
    const late = {
      code: "ENGINE_CRASHED",
      retryable: true,
      message: expect.stringContaining("finished no step of a run within 2 s"),
    };
    await expect(asked).rejects.toMatchObject(late);
    await expect(waiting).rejects.toMatchObject(late);
    expect(await nothingLeft(at)).toBe(true);
    await llm.close();
  });

  it("stops on abort and when the loop is left, and can be used again", async () => {
    const { at, llm } = await started("endless");
    const abort = new AbortController();
    const onProgress = ({ tokens }: { tokens: number }) => tokens > 5 && abort.abort(new Error("enough"));
    const run = llm.capture("ab", { ...logits, maxTokens: 5, signal: abort.signal, onProgress });
    await expect(run).rejects.toThrow("enough");
    for await (const { text } of llm.stream("xyz", { ...logits, maxTokens: 5 })) {
      expect(text).toBe("x");
      break;
    }
    expect(await llm.tokenize("ab")).toEqual(Int32Array.of(97, 98));
    expect(readdirSync(at.spool)).toEqual([]);
    await llm.close();
    expect(await nothingLeft(at)).toBe(true);
  });

  it("ends a run when it is closed", async () => {
    const { at, llm } = await started("endless");
    let seen = false;
    const run = llm.capture("ab", {
      ...logits,
      maxTokens: 5,
      onProgress: () => {
        seen = true;
      },
    });
    expect(await soon(() => seen)).toBe(true);
    const closing = llm.close();
    await expect(run).rejects.toMatchObject({ code: "ENGINE_CLOSED" });
    await closing;
    expect(await nothingLeft(at)).toBe(true);
  });

  it("does not pass for whole what lacks rows", async () => {
    const { llm } = await started("rows missing");
    await expect(llm.capture("ab", { ...logits, maxTokens: 4 })).rejects.toMatchObject({
      code: "ENGINE_FAILED",
      message: "vLLM ended the run, but sample 0 has 2 of 5 rows",
    });
    await llm.close();
  });

  it("passes on what the plugin refuses", async () => {
    const { llm } = await started("whole");
    await expect(llm.capture("ab", { streams: ["hidden_states"] })).rejects.toMatchObject({
      name: "RequestError",
      code: "UNKNOWN_STREAM",
    });
    await expect(llm.detokenize([256])).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    await llm.close();
  });

  it("takes images where the model sees", async () => {
    const { llm } = await started("vision");
    const image = "data:image/png;base64,AAAA";
    const { samples, rows } = await llm.capture(
      [{ prompt: "a*b", multiModalData: { image } }, "plain"],
      logits,
    );
    expect(rows.text.slice(0, 5)).toEqual(["a", "*", "*", "*", "b"]);
    expect(samples[0]).toEqual({
      label: null,
      promptTokens: 5,
      media: [{ kind: "image", offset: 1, length: 3 }],
    });
    expect(samples[1]!.media).toBeUndefined();
    await llm.close();
    const blind = (await started("whole")).llm;
    await expect(blind.capture({ prompt: "a*b", multiModalData: { image } })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("takes text only"),
    });
    await blind.close();
  });

  it("does not keep an idle program alive, and ends with it", async () => {
    const program = `
      import { load } from ${JSON.stringify(join(packageRoot, "dist", "index.js"))};
      const onStart = ({ text }) => console.log(text);
      const llm = await load("whole", { engine: "vllm", python: ${JSON.stringify(python)}, onStart });
      await llm.capture("ab", { streams: ["router_logits"], maxTokens: 2 });`;
    const parent = spawn(process.execPath, ["--input-type=module", "-e", program], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    const ended = new Promise((resolve) => parent.on("exit", resolve));
    const [text] = await new Promise<string[]>((resolve) =>
      createInterface({ input: parent.stdout }).once("line", (line) => resolve([line])),
    );
    expect(await ended).toBe(0);
    const [worker, child, spool] = text!.split(" ") as [string, string, string];
    expect(await nothingLeft({ processes: [Number(worker), Number(child)], spool })).toBe(true);
  });
});
