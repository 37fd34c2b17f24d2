import { afterEach, expect, it, vi } from "vitest";
import { inspectModel, load } from "../../src/run/load.ts";
import type { DownloadProgress } from "../../src/sources/resolved-model.ts";
import { home, hub, OLMOE } from "./hub-home.ts";

afterEach(() => vi.unstubAllEnvs());

it("a reference to the hub is downloaded, loaded and captured from; the second time from the cache", async () => {
  vi.stubEnv("HF_ENDPOINT", hub.url);
  vi.stubEnv("HF_HOME", home);
  vi.stubEnv("HF_TOKEN", "");
  const progress: DownloadProgress[] = [];
  const llm = await load("hf:org/repo:Q4_K_M", { contextSize: 128, onProgress: (p) => progress.push(p) });
  const capture = await llm.capture("a b");
  await llm.close();
  expect(capture.model).toMatchObject({ architecture: "olmoe", source: "hf:org/repo/m-Q4_K_M.gguf" });
  expect(capture.routerLogits.size).toBe(3);
  expect(progress.at(-1)).toMatchObject({ bytes: OLMOE.length, total: OLMOE.length });
  const again = await inspectModel("hf:org/repo:Q4_K_M", { onProgress: (p) => progress.push(p) });
  expect(again.source).toBe("hf:org/repo/m-Q4_K_M.gguf");
  expect(progress.at(-1)).toBe(progress.findLast(({ bytes }) => bytes === OLMOE.length));
});
