import { join } from "node:path";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, it } from "vitest";
import type { CaptureList } from "../../src/server/questions/captures.ts";
import { allEvents, captureInto, events, PROMPTS, serving } from "./serving.ts";

const CLIENTS = 50;
const ROUNDS = 3;
/** Megabytes: what 200 jobs told, or their recordings' buffers, would be several times that. */
const SLACK = 24;

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void;

/** What is in use once the garbage is gone. */
const megabytes = async () => {
  // What was closed lets go of its memory a moment later.
  await new Promise((resolve) => setTimeout(resolve, 500));
  collect();
  const { heapUsed, external } = process.memoryUsage();
  return (heapUsed + external) / 2 ** 20;
};

it("50 clients at once lose nothing, and memory does not grow with what they ask", {
  timeout: 300_000,
}, async () => {
  const server = await serving({ recordingBytes: 1 << 20 });
  await captureInto(join(server.folder, "run"));
  const { captures } = await server.json<CaptureList>("/api/captures");
  const at = `/api/captures/${captures[0]!.id}`;
  const reference = await server
    .get(`${at}/streams/router_logits/1`)
    .then((response) => response.arrayBuffer());
  const live = new AbortController();
  const watchers = Array.from({ length: 5 }, async () => {
    const response = await server.get("/api/live", { signal: live.signal });
    let ends = 0;
    try {
      for await (const { event } of events(response)) if (event === "end") ends++;
    } catch {
      // It was closed below.
    }
    return ends;
  });

  const client = async (round: number, n: number) => {
    const prompt = `client ${n} of round ${round}: ${"x".repeat(n)}`;
    const [generated, completed, values, usage, rows] = await Promise.all([
      server.post("/api/generate", { prompt: { prompt }, maxTokens: 5 }).then(allEvents),
      server.post("/v1/completions", { prompt, max_tokens: 5 }).then((response) => response.json()),
      server.get(`${at}/streams/router_logits/1`).then((response) => response.arrayBuffer()),
      server.get(`${at}/usage?sample=${n % PROMPTS.length}`).then((response) => response.status),
      server.get(`${at}/rows?limit=50&from=${n}`).then((response) => response.status),
    ]);
    // Every token arrived, in order and of this client's prompt.
    const tokens = generated.filter(({ event }) => event === "tokens").flatMap(({ data }) => data.tokens);
    expect(tokens.map(({ text }: { text: string }) => text).join("")).toBe(`${prompt}abcd`);
    expect(generated.at(-1)).toMatchObject({ event: "end", data: { outputs: [{ text: "abcde" }] } });
    expect(completed).toMatchObject({
      choices: [{ text: "abcde" }],
      usage: { prompt_tokens: prompt.length },
    });
    expect(Buffer.from(values).equals(Buffer.from(reference))).toBe(true);
    expect([usage, rows]).toEqual([200, 200]);
  };

  const sizes: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    await Promise.all(Array.from({ length: CLIENTS }, (_, n) => client(round, n)));
    sizes.push(await megabytes());
  }
  expect(server.engine.mostAtOnce).toBe(1);
  expect(server.engine.running).toBe(0);
  // The first round fills the caches; what comes after takes their place.
  expect(sizes.at(-1)! - sizes[0]!).toBeLessThan(SLACK);
  // Of 300 recordings the last fit into their share of the disk.
  const kept = (await server.json<CaptureList>("/api/captures")).captures.filter(
    ({ origin }) => origin === "recording",
  );
  expect(kept.length).toBeGreaterThan(0);
  expect(kept.length).toBeLessThan(CLIENTS * ROUNDS * 2);
  live.abort();
  expect(await Promise.all(watchers)).toEqual(Array(5).fill(CLIENTS * ROUNDS * 2));
});

it("a reader that takes nothing holds nobody up", { timeout: 120_000 }, async () => {
  const server = await serving();
  // Asked for and never read.
  const idle = await Promise.all(Array.from({ length: 10 }, () => server.get("/api/live")));
  const prompt = "long prompt ".repeat(150);
  for (let i = 0; i < 5; i++) {
    const all = await allEvents(await server.post("/api/generate", { prompt: { prompt }, maxTokens: 50 }));
    expect(all.at(-1)).toMatchObject({ event: "end", data: { job: { state: "done" } } });
  }
  await Promise.all(idle.map((response) => response.body!.cancel()));
});
