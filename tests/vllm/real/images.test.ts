import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { Capture } from "../../../src/capture/capture.ts";
import type { LanguageModel } from "../../../src/run/language-model.ts";
import { load } from "../../../src/run/load.ts";
import { visionCheckpoint } from "./checkpoints.ts";
import { alive, workers } from "./processes.ts";
import { type Serving, serve } from "./serve.ts";

const START = 600_000;
const vllm = inject("vllm");
const apiKey = "secret";
const IMAGE = "<|vision_start|><|image_pad|><|vision_end|>";

describe.skipIf("missing" in vllm)("a vision-language model in vLLM", { timeout: START }, () => {
  let folder = "";
  /** As a path, a data URI and a URL. */
  let images: string[] = [];
  let checkpoint = "";
  let host: Server;
  /** What an engine of our own captures, for the server to equal. */
  let own: Capture;

  beforeAll(async () => {
    folder = mkdtempSync(join(tmpdir(), "moescope-vllm-"));
    const made = await visionCheckpoint((vllm as { python: string }).python, folder);
    checkpoint = made.checkpoint;
    const png = readFileSync(made.image);
    host = createServer((_, response) => response.end(png));
    await new Promise<void>((resolve) => host.listen(0, "127.0.0.1", resolve));
    const url = `http://127.0.0.1:${(host.address() as AddressInfo).port}/gradient.png`;
    images = [made.image, `data:image/png;base64,${png.toString("base64")}`, url];
  }, START);
  afterAll(() => {
    host?.close();
    rmSync(folder, { recursive: true, force: true });
  });

  /** Each image alone, two in one text, and none. */
  const prompts = () => [
    ...images.map((image) => ({ prompt: `${IMAGE}What is this?`, multiModalData: { image } })),
    { prompt: `${IMAGE}and ${IMAGE}differ?`, multiModalData: { image: images.slice(0, 2) } },
    "What is this?",
  ];
  const generated = 3;
  const capture = (llm: LanguageModel) =>
    llm.capture(prompts(), {
      streams: ["router_logits", "hidden_states"],
      maxTokens: generated,
      ignoreEos: true,
    });

  it("has rows of its images' tokens", async () => {
    const llm = await load(checkpoint, {
      engine: "vllm",
      ...(vllm as { python: string }),
      dtype: "float32",
      enforceEager: true,
      maxModelLen: 256,
      maxNumSeqs: 16,
      gpuMemoryUtilization: 0.08,
      limitMmPerPrompt: { image: 2, video: 0 },
    });
    own = await capture(llm);
    expect(own.complete).toBe(true);
    expect(own.samples.map(({ media }) => media?.length ?? 0)).toEqual([1, 1, 1, 2, 0]);
    for (const [index, { media, promptTokens }] of own.samples.entries()) {
      const { rows } = own.sample(index);
      expect(rows.length).toBe(promptTokens + generated - 1);
      for (const { kind, offset, length } of media ?? []) {
        expect(kind).toBe("image");
        expect(length).toBeGreaterThan(1);
        const text = rows.text.slice(offset, offset + length);
        expect(new Set(text)).toEqual(new Set(["<|image_pad|>"]));
      }
      const places = (media ?? []).reduce((sum, { length }) => sum + length, 0);
      expect(rows.text.filter((text) => text === "<|image_pad|>")).toHaveLength(places);
    }
    for (const same of [1, 2]) expect(distance(logits(own, 0), logits(own, same))).toBeLessThan(1e-3);
    // Each place of the image differs: the pixels went in, not the placeholder.
    const experts = llm.info.moe!.experts;
    const { offset } = own.samples[0]!.media![0]!;
    const at = (row: number) => logits(own, 0).slice(row * experts, (row + 1) * experts);
    expect(distance(at(offset), at(offset + 1))).toBeGreaterThan(1e-3);
    await expect(llm.capture([missing()])).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
    const [worker] = workers();
    await llm.close();
    expect(alive(worker!)).toBe(false);
  });

  it("has the same over HTTP, near and far", async () => {
    const { python } = vllm as { python: string };
    const limits = ["--max-model-len", "256", "--limit-mm-per-prompt", '{"image":2,"video":0}'];
    const server: Serving = await serve(python, checkpoint, [...limits, "--api-key", apiKey]);
    try {
      const clients = await Promise.all(
        Array.from({ length: 4 }, (_, i) => load(i % 2 === 0 ? server.near : server.far, { apiKey })),
      );
      for (const theirs of await Promise.all(clients.map(capture))) {
        expect(theirs.samples).toEqual(own.samples);
        expect(theirs.rows.tokenId).toEqual(own.rows.tokenId);
        expect(theirs.rows.text).toEqual(own.rows.text);
        expect(theirs.outputs).toEqual(own.outputs);
        for (const [layer, tensor] of own.routerLogits)
          expect(distance(theirs.routerLogits.get(layer)!.data, tensor.data)).toBeLessThan(1e-3);
        for (const [layer, tensor] of own.hiddenStates)
          expect(distance(theirs.hiddenStates.get(layer)!.data, tensor.data)).toBeLessThan(1e-3);
      }
      const [llm] = clients;
      await expect(llm!.capture([missing()])).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      await expect(llm!.capture([tooMany()])).rejects.toMatchObject({ code: "INVALID_ARGUMENT" });
      // Who speaks to the server itself cannot make it read a file or call another host.
      for (const image of [images[0], images[2]]) {
        const body = JSON.stringify({ prompt: IMAGE, images: [image] });
        const headers = { authorization: `Bearer ${apiKey}`, "content-type": "application/json" };
        const answer = await fetch(`${server.near}/v1/moescope/encode`, { method: "POST", headers, body });
        expect(answer.status).toBe(400);
        expect(await answer.json()).toMatchObject({ error: { code: "INVALID_ARGUMENT" } });
      }
      expect((await llm!.capture("What is this?")).complete).toBe(true);
    } finally {
      server.kill();
    }
  });

  const missing = () => ({ prompt: IMAGE, multiModalData: { image: join(folder, "none.png") } });
  const tooMany = () => ({ prompt: IMAGE.repeat(3), multiModalData: { image: images } });
});

const logits = (capture: Capture, sample: number) => capture.sample(sample).routerLogits.get(0)!.data;

const distance = (a: Float32Array, b: Float32Array) =>
  a.reduce((most, x, i) => Math.max(most, Math.abs(x - b[i]!)), a.length === b.length ? 0 : Infinity);
