import { type ChildProcess, spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import type { Worker } from "node:worker_threads";
import { beforeEach, describe, expect, it, vi } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";
import type { Isolation } from "../../src/engines/llama/host/load-host.ts";
import { load } from "../../src/run/load.ts";
import { ggufOf } from "../fixtures/families.ts";

/** The hosts the engine started, and what is added to a worker's options: the tests' way to kill them. */
const hosts = vi.hoisted(() => ({
  children: [] as ChildProcess[],
  workers: [] as Worker[],
  resourceLimits: undefined as { maxOldGenerationSizeMb: number } | undefined,
}));
vi.mock("node:child_process", async (original) => {
  const module = await original<typeof import("node:child_process")>();
  const fork = (...args: Parameters<typeof module.fork>) => {
    const child = module.fork(...args);
    hosts.children.push(child);
    return child;
  };
  return { ...module, fork };
});
vi.mock("node:worker_threads", async (original) => {
  const module = await original<typeof import("node:worker_threads")>();
  class WatchedWorker extends module.Worker {
    constructor(file: string, options: object) {
      super(file, { ...options, ...(hosts.resourceLimits && { resourceLimits: hosts.resourceLimits }) });
      hosts.workers.push(this);
    }
  }
  return { ...module, Worker: WatchedWorker };
});
beforeEach(() => {
  hosts.children.length = 0;
  hosts.resourceLimits = undefined;
});

const small = { threads: 1, contextSize: 512 } as const;
const endless = { maxTokens: 500, ignoreEos: true } as const;
const everything = {
  streams: ["router_logits", "expert_ids", "expert_weights", "hidden_states"],
  maxTokens: 20,
  ignoreEos: true,
} as const;

async function rowsOf(isolate: Isolation, family = "mixtral") {
  const llm = await load(ggufOf(family), { ...small, isolate });
  const { rows, routerLogits, expertIds, expertWeights, hiddenStates, outputs } = await llm.capture(
    ["The router sent", "a b"],
    everything,
  );
  await llm.close();
  return {
    rows: { text: rows.text, position: rows.position, sample: rows.sample },
    streams: [routerLogits, expertIds, expertWeights, hiddenStates].map((stream) => [...stream]),
    outputs,
  };
}

describe("a process of its own", () => {
  it.each(["mixtral", "deepseek_v3", "qwen3_next", "gpt_oss"])(
    "gives %s's rows bit for bit as a thread does",
    async (family) => {
      expect(await rowsOf("process", family)).toEqual(await rowsOf("thread", family));
    },
  );

  it("tokenises, refuses, aborts and closes like a thread", async () => {
    const llm = await load(ggufOf("mixtral"), { ...small, isolate: "process" });
    expect(await llm.detokenize(await llm.tokenize("The router", { addSpecial: false }))).toBe("The router");
    await expect(llm.capture("word ".repeat(600))).rejects.toMatchObject({ code: "CONTEXT_OVERFLOW" });
    const reason = new Error("enough");
    const controller = new AbortController();
    setTimeout(() => controller.abort(reason), 20);
    await expect(llm.capture("a", { ...endless, signal: controller.signal })).rejects.toBe(reason);
    expect((await llm.capture("a")).rows.length).toBe(1);
    const running = llm.capture("a", endless);
    running.catch(() => {});
    await sleep(10);
    await llm.close();
    await expect(running).rejects.toMatchObject({ code: "ENGINE_CLOSED" });
    expect(hosts.children[0]!.exitCode).toBe(0);
    await expect(load(ggufOf("mixtral"), { isolate: "proces" as never })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
  });

  it("passes llama.cpp's refusal of a model on", async () => {
    const bytes = readFileSync(ggufOf("mixtral"));
    bytes.write("output_nora", bytes.indexOf("output_norm.weight"));
    const file = join(mkdtempSync(join(tmpdir(), "moescope-isolation-")), "renamed.gguf");
    writeFileSync(file, bytes);
    await expect(load(file, { ...small, isolate: "process" })).rejects.toMatchObject({
      name: "ModelError",
      code: "MODEL_INVALID",
      message: expect.stringContaining("output_norm.weight"),
    });
    rmSync(dirname(file), { recursive: true });
  });

  it.skipIf(process.platform === "win32").each(["SIGSEGV", "SIGABRT", "SIGKILL"] as const)(
    "may die of %s in a run: what waits is rejected, this process goes on",
    async (signal) => {
      const llm = await load(ggufOf("mixtral"), { ...small, isolate: "process" });
      const waiting = [llm.capture("a", endless), llm.capture("b"), llm.tokenize("c")].map((promise) =>
        promise.catch((error) => error),
      );
      await sleep(20);
      hosts.children[0]!.kill(signal);
      for (const error of (await Promise.all(waiting)).slice(0, 2))
        expect(error).toMatchObject({
          name: "EngineError",
          code: "ENGINE_CRASHED",
          retryable: true,
          message: expect.stringContaining(signal),
        });
      await expect(llm.capture("a")).rejects.toMatchObject({ code: "ENGINE_CRASHED" });
      await llm.close();
      expect((await rowsOf("process")).outputs).toHaveLength(2);
    },
  );

  it.skipIf(process.platform === "win32")(
    "that hangs is ended by an abort, and by closing",
    { timeout: 120_000 },
    async () => {
      for (const by of ["abort", "close"] as const) {
        const llm = await load(ggufOf("mixtral"), small);
        const child = hosts.children.at(-1)!;
        const controller = new AbortController();
        const running = llm.capture("a", { ...endless, signal: controller.signal }).catch((error) => error);
        const asking = llm.tokenize("b").catch((error) => error);
        await sleep(20);
        // As native code that does not come back, and more: nothing in there runs.
        child.kill("SIGSTOP");
        const reason = new Error("enough");
        if (by === "abort") controller.abort(reason);
        else await llm.close();
        if (by === "abort") expect(await running).toBe(reason);
        else expect(await running).toMatchObject({ code: "ENGINE_CLOSED" });
        await asking;
        expect(child.signalCode).toBe("SIGKILL");
        await expect(llm.tokenize("a")).rejects.toMatchObject({
          code: by === "abort" ? "ENGINE_CRASHED" : "ENGINE_CLOSED",
          message: expect.stringMatching(by === "abort" ? /did not stop a run within 10 s/ : /closed/),
        });
        await llm.close();
      }
    },
  );

  it.skipIf(process.platform === "win32")("that hangs in a run is ended when its step is late", async () => {
    const llm = await load(ggufOf("mixtral"), { ...small, stepTimeout: 5000 });
    const child = hosts.children.at(-1)!;
    // Steps that come in time are none of its business, however many they are.
    await llm.capture("a", { ...endless, maxTokens: 50 });
    let told = 0;
    const running = llm.capture("a", { ...endless, onProgress: () => told++ }).catch((error) => error);
    const waiting = llm.capture("b").catch((error) => error);
    await vi.waitUntil(() => told > 0);
    child.kill("SIGSTOP");
    for (const error of [await running, await waiting])
      expect(error).toMatchObject({
        name: "EngineError",
        code: "ENGINE_CRASHED",
        retryable: true,
        message: expect.stringContaining("finished no step of a run within 5 s and was stopped"),
      });
    expect(child.signalCode).toBe("SIGKILL");
    await llm.close();
  });

  it("an aborted load rejects with the signal's reason and leaves no process", async () => {
    const controller = new AbortController();
    const reason = new Error("changed my mind");
    const loading = load(ggufOf("mixtral"), { ...small, isolate: "process", signal: controller.signal });
    const rejected = expect(loading).rejects.toBe(reason);
    // As soon as there is a process: it takes longer than that to load.
    const child = await vi.waitUntil(() => hosts.children[0], { interval: 5, timeout: 30_000 });
    controller.abort(reason);
    await rejected;
    if (child.signalCode === null) await new Promise((resolve) => child.once("exit", resolve));
    expect(child.signalCode).toBe("SIGKILL");
  });

  it.skipIf(process.platform !== "linux")("does not outlive its parent, however that ends", async () => {
    const script = (end: string) => `import { readFileSync } from "node:fs";
      import { load } from ${JSON.stringify(join(packageRoot, "dist/index.js"))};
      const llm = await load(${JSON.stringify(ggufOf("mixtral"))}, { contextSize: 512, isolate: "process" });
      console.log(readFileSync("/proc/self/task/" + process.pid + "/children", "utf8"));
      ${end}`;
    const runs = 'llm.capture("a", { maxTokens: 500, ignoreEos: true }).catch(() => {});';
    for (const end of [
      "",
      `${runs} setTimeout(() => process.exit(), 20);`,
      `${runs} process.kill(process.pid, 9);`,
    ]) {
      const parent = spawn(process.execPath, ["--input-type=module", "-e", script(end)]);
      let output = "";
      parent.stdout.on("data", (text) => {
        output += text;
      });
      await new Promise((resolve) => parent.once("close", resolve));
      const child = Number(output);
      expect(child).toBeGreaterThan(0);
      await expect.poll(() => isAlive(child), { timeout: 5000 }).toBe(false);
    }
  });
});

describe("a thread that dies", () => {
  it.each([0, 5, 50])("killed %i ms into a run rejects what waits, and a new one works", async (delay) => {
    const llm = await load(ggufOf("mixtral"), { ...small, isolate: "thread" });
    const waiting = [llm.capture("a", endless), llm.capture("b")].map((promise) =>
      promise.catch((error) => error),
    );
    await sleep(delay);
    await hosts.workers.at(-1)!.terminate();
    for (const error of await Promise.all(waiting))
      expect(error).toMatchObject({ name: "EngineError", code: "ENGINE_CRASHED", retryable: true });
    await expect(llm.tokenize("a")).rejects.toMatchObject({ code: "ENGINE_CRASHED" });
    await llm.close();
    expect((await rowsOf("thread")).outputs).toHaveLength(2);
  });

  it("of its heap's limit rejects with what happened", async () => {
    // Not one that waits to be used again.
    for (const worker of hosts.workers) await worker.terminate();
    hosts.resourceLimits = { maxOldGenerationSizeMb: 3 };
    const error = await load(ggufOf("mixtral"), { ...small, contextSize: 8192, isolate: "thread" })
      .then((llm) => llm.capture("a ".repeat(4000), { streams: ["hidden_states"], maxTokens: 4000 }))
      .catch((reason) => reason);
    expect(error).toMatchObject({ code: "ENGINE_CRASHED", message: expect.stringContaining("memory") });
    hosts.resourceLimits = undefined;
    expect((await rowsOf("thread")).outputs).toHaveLength(2);
  });
});

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch {
    return false;
  }
}
