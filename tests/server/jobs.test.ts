import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { EngineError } from "../../src/core/errors.ts";
import type { RunEnd, RunHeader, Sink } from "../../src/core/sink.ts";
import { EngineQueue } from "../../src/server/jobs/engine-queue.ts";
import { Job } from "../../src/server/jobs/job.ts";
import {
  type JobEvents,
  type Job as JobFacts,
  type JobList,
  jobEvents,
  type ModelList,
  type TokenEvent,
} from "../../src/server/jobs/schemas.ts";
import type { CaptureList } from "../../src/server/questions/captures.ts";
import { allEvents, events, PROMPTS, serving, until } from "./serving.ts";

describe("a job's sink", () => {
  const header = { streams: [], samples: [], model: {}, tokenText: String } as unknown as RunHeader;
  const kept = (closing: () => void = () => {}) => {
    const ends: RunEnd[] = [];
    const sink: Sink<void> = {
      open() {},
      write() {},
      close(end) {
        ends.push(end);
        closing();
      },
    };
    return { ends, sink };
  };

  it.each([
    ["closes", () => {}],
    [
      "does not close either",
      () => {
        throw new Error("the disk is gone");
      },
    ],
  ])(
    "that opened another and cannot begin closes it, and says why it could not: it %s",
    async (_, closing) => {
      const job = new Job("1", "capture", "m", new EngineQueue());
      const { ends, sink } = kept(closing);
      job.listen((event) => (event === "start" ? Promise.reject(new Error("nobody can follow")) : undefined));
      await expect(job.watch(sink).open(header)).rejects.toThrow("nobody can follow");
      expect(ends).toEqual([
        { finished: [], error: expect.objectContaining({ message: "nobody can follow" }) },
      ]);
    },
  );
});

describe("a generation", () => {
  it("streams each token with the routing that its capture has", async () => {
    const { post, json, engine } = await serving();
    const all = await allEvents(await post("/api/generate", { prompt: { prompt: "hello" }, maxTokens: 4 }));
    const names = all.map(({ event }) => event).filter((event) => event !== "job");
    expect(names).toEqual(["start", "tokens", "tokens", "tokens", "tokens", "end"]);
    for (const { event, data } of all) expect(jobEvents[event as keyof JobEvents].parse(data)).toEqual(data);
    const start = all.find(({ event }) => event === "start")!.data;
    expect(start).toMatchObject({
      layers: [0, 1, 2, 3],
      experts: 16,
      topK: 2,
      samples: [{ promptTokens: 5 }],
    });
    const tokens: TokenEvent[] = all
      .filter(({ event }) => event === "tokens")
      .flatMap(({ data }) => data.tokens);
    expect(tokens.map(({ text }) => text).join("")).toBe("helloabc");
    expect(tokens.map(({ phase }) => phase[0]).join("")).toBe("pppppggg");
    const end = all.at(-1)!.data;
    expect(end.outputs).toEqual([{ sample: 0, text: "abcd", reason: "length" }]);
    expect(end.job).toMatchObject({ state: "done", error: null });
    const rows = await json<{ total: number }>(`/api/captures/${end.job.capture}/rows`);
    expect(rows.total).toBe(8);
    expect(engine.mostAtOnce).toBe(1);
    const token = await json<{ layers: { experts: number[]; entropy: number }[] }>(
      `/api/captures/${end.job.capture}/tokens/6`,
    );
    expect(token.layers.map(({ experts }) => experts)).toEqual(tokens[6]!.experts);
    token.layers.forEach(({ entropy }, i) => {
      expect(tokens[6]!.entropy[i]).toBeCloseTo(entropy, 3);
    });
  });

  it("ends when its client goes, and the next one runs", async () => {
    const { post, json, engine } = await serving();
    engine.stepMs = 5;
    const leave = new AbortController();
    const response = await post(
      "/api/generate",
      { prompt: { prompt: "a" }, maxTokens: 3000 },
      { signal: leave.signal },
    );
    for await (const { event } of events(response)) if (event === "tokens") break;
    leave.abort();
    await until(() => engine.running === 0);
    await until(async () => (await json<JobList>("/api/jobs")).jobs[0]!.state === "cancelled");
    const next = await allEvents(await post("/api/generate", { prompt: { prompt: "b" }, maxTokens: 2 }));
    expect(next.at(-1)).toMatchObject({ event: "end", data: { job: { state: "done" } } });
  });

  it("does not wait for a request before it whose prompts are being made into tokens", async () => {
    const { post, json, engine } = await serving();
    const tokenize = engine.tokenize.bind(engine);
    let read!: () => void;
    const isRead = new Promise<void>((resolve) => {
      read = resolve;
    });
    engine.tokenize = async (texts) => {
      if (texts.length > 1) await isRead;
      return tokenize(texts);
    };
    const many = { prompts: ["a", "b", "c"].map((prompt) => ({ prompt, label: prompt })) };
    const { id } = (await (await post("/api/captures", many)).json()) as JobFacts;
    const next = await allEvents(await post("/api/generate", { prompt: { prompt: "d" }, maxTokens: 2 }));
    expect(next.at(-1)).toMatchObject({ event: "end", data: { job: { state: "done" } } });
    const completion = await post("/v1/completions", { prompt: "e", max_tokens: 2, model: "fake-moe" });
    expect(completion.status).toBe(200);
    expect((await json<JobFacts>(`/api/jobs/${id}`)).state).toBe("waiting");
    read();
    await until(async () => (await json<JobFacts>(`/api/jobs/${id}`)).state === "done");
    const { capture } = await json<JobFacts>(`/api/jobs/${id}`);
    const labelled = await json<{ text: string[] }>(`/api/captures/${capture}/rows?label=b`);
    expect(labelled.text).toEqual(["b"]);
  });

  it.each([true, false])("keeps code and retryable of what went wrong over HTTP: %j", async (retryable) => {
    const { post, engine } = await serving();
    const fail = () => {
      engine.failAt = { step: 2, error: new EngineError("OUT_OF_MEMORY", "no room", { retryable }) };
    };
    const error = { code: "OUT_OF_MEMORY", message: "no room", retryable };
    fail();
    const told = await allEvents(await post("/api/generate", { prompt: { prompt: "a" }, maxTokens: 4 }));
    expect(told.at(-1)!.data.job.error).toEqual(error);
    fail();
    const asked = await post("/v1/completions", { prompt: "a", max_tokens: 4, model: "fake-moe" });
    expect(asked.status).toBe(500);
    expect(asked.headers.get("x-should-retry")).toBe(String(retryable));
    expect(await asked.json()).toMatchObject({ error: { code: "out_of_memory", message: "no room" } });
  });

  it("says what went wrong", async () => {
    const { post, engine } = await serving();
    engine.failAt = { step: 2, error: new EngineError("ENGINE_FAILED", "the engine stumbled") };
    const failed = await allEvents(await post("/api/generate", { prompt: { prompt: "a" }, maxTokens: 4 }));
    expect(failed.at(-1)).toMatchObject({
      event: "end",
      data: { job: { state: "failed", error: { code: "ENGINE_FAILED", message: "the engine stumbled" } } },
    });
    const after = await allEvents(await post("/api/generate", { prompt: { prompt: "a" }, maxTokens: 4 }));
    expect(after.at(-1)!.data.job.state).toBe("done");
  });
});

describe("a capture that is started", () => {
  it("goes into the folder, with its progress told", async () => {
    const { post, get, json, folder, engine } = await serving();
    engine.stepMs = 1;
    const response = await post("/api/captures", { prompts: "demo", name: "fresh", maxTokens: 3 });
    expect(response.status).toBe(202);
    const { id } = (await response.json()) as JobFacts;
    const all = await allEvents(await get(`/api/jobs/${id}/events`));
    expect(
      all.some(({ event, data }) => event === "job" && data.progress?.totalSamples === PROMPTS.length),
    ).toBe(true);
    expect(all.at(-1)!.data.job).toMatchObject({ state: "done", progress: { samples: PROMPTS.length } });
    const capture = await openCapture(join(folder, "fresh"));
    expect(capture.complete).toBe(true);
    expect(capture.samples.map(({ label }) => label)).toEqual(["code", "text", "code", "text", null]);
    const { captures } = await json<CaptureList>("/api/captures");
    expect(captures.map((one) => [one.id, one.name, one.origin])).toEqual([
      [all.at(-1)!.data.job.capture, "fresh", "folder"],
    ]);
    // The name is taken now.
    const again = (await (
      await post("/api/captures", { prompts: "demo", name: "fresh" })
    ).json()) as JobFacts;
    await until(async () => (await json<JobFacts>(`/api/jobs/${again.id}`)).state === "failed");
    expect((await json<JobFacts>(`/api/jobs/${again.id}`)).error?.code).toBe("CAPTURE_EXISTS");
  });

  it("is cancelled, waiting or running, and keeps the rows it had", async () => {
    const { post, get, json, engine, folder } = await serving();
    engine.stepMs = 2;
    const start = async (name: string) =>
      (await (
        await post("/api/captures", { prompts: [{ prompt: "abc" }], maxTokens: 3000, name })
      ).json()) as JobFacts;
    const [first, second, third] = [await start("first"), await start("second"), await start("third")];
    await until(() => engine.steps > 5);
    expect((await json<JobFacts>(`/api/jobs/${third.id}`)).ahead).toBe(2);
    expect((await json<ModelList>("/api/models")).models[0]!.waiting).toBe(3);
    for (const { id } of [second, first])
      expect((await get(`/api/jobs/${id}`, { method: "DELETE" })).status).toBe(202);
    await until(async () => (await json<JobFacts>(`/api/jobs/${third.id}`)).state === "running");
    expect((await json<JobFacts>(`/api/jobs/${first.id}`)).state).toBe("cancelled");
    expect((await json<JobFacts>(`/api/jobs/${second.id}`)).state).toBe("cancelled");
    expect(existsSync(join(folder, "second"))).toBe(false);
    const kept = await openCapture(join(folder, "first"));
    expect(kept.complete).toBe(false);
    expect(kept.rows.length).toBeGreaterThan(3);
    expect(kept.missing[0]!.why).toContain("cancelled");
    expect(engine.mostAtOnce).toBe(1);
  });
});

describe("the live view", () => {
  it("shows every client's jobs in several tabs", async () => {
    const { post, get } = await serving();
    const follow = async (response: Response) => {
      const seen: string[] = [];
      for await (const { event, data } of events(response)) {
        if (event === "tokens") seen.push(...data.tokens.map(({ text }: TokenEvent) => text));
        if (event === "end" && data.job.kind === "text_completion") return seen.join("");
      }
      throw new Error("it ended early");
    };
    const tabs = [follow(await get("/api/live")), follow(await get("/api/live"))];
    await allEvents(await post("/api/generate", { prompt: { prompt: "one " }, maxTokens: 3 }));
    await post("/v1/completions", { prompt: "two ", max_tokens: 3 });
    expect(await Promise.all(tabs)).toEqual(["one abtwo ab", "one abtwo ab"]);
  });
});

describe("recordings", () => {
  it("make room for newer ones, and go with the server", async () => {
    const server = await serving({ recordingBytes: 40_000 });
    const captures: string[] = [];
    for (let i = 0; i < 8; i++) {
      const all = await allEvents(
        await server.post("/api/generate", { prompt: { prompt: "recorded".repeat(4) }, maxTokens: 2 }),
      );
      captures.push(all.at(-1)!.data.job.capture);
    }
    const { captures: kept } = await server.json<CaptureList>("/api/captures");
    const ids = kept.map(({ id }) => id);
    expect(kept.every(({ origin }) => origin === "recording")).toBe(true);
    expect(ids.length).toBeLessThan(8);
    expect([...ids].sort()).toEqual(captures.slice(-ids.length).sort());
    expect((await server.get(`/api/captures/${captures[0]}`)).status).toBe(404);
    expect(readdirSync(server.folder)).toEqual([]);
  });
});
