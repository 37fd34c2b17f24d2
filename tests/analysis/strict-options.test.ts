import { describe, expect, test } from "vitest";
import * as analysis from "../../src/analysis.ts";
import { MemorySink } from "../../src/capture/memory.ts";
import * as api from "../../src/index.ts";
import { drive, syntheticRun } from "../store/synthetic.ts";

const capture = await drive(syntheticRun({ lengths: [6, 5, 4, 7] }), new MemorySink());
const usage = analysis.expertUsage(capture);
const found = analysis.compareCaptures(capture, capture, { permutations: 9 });
const analyzed = await analysis.analyzeCapture(capture, { permutations: 9 });
const logits = new Map(capture.routerLogits);

/** What a call is refused with, thrown or as a rejection. */
async function refusal(call: () => unknown): Promise<{ code?: string; message: string; name: string }> {
  try {
    await call();
  } catch (error) {
    const { code, message, name } = error as api.RequestError;
    return { code, message, name };
  }
  return { message: "was accepted", name: "" };
}

describe("a wrong value", () => {
  const cases: [string, () => unknown, string][] = [
    [
      "measures",
      () => analysis.analyzeCapture(capture, { measures: ["usages" as "usage"] }),
      "did you mean usage?",
    ],
    [
      "layers",
      () => analysis.analyzeCapture(capture, { layers: 3 as never }),
      "layers must be an array, got 3",
    ],
    [
      "permutations",
      () => analysis.compareCaptures(capture, capture, { permutations: 0 }),
      "permutations must be",
    ],
    ["unit", () => analysis.specialization(capture, { unit: "token" as "row" }), "one of sample, row"],
    ["alpha", () => analysis.largestShifts(found, { alpha: 5 }), "alpha must be a number from 0 to 1, got 5"],
    [
      "vram",
      () => api.advisePlacement("model.gguf", usage, { vram: "12GiB" as unknown as number }),
      'vram must be a number of bytes from 0, as in 12 * 2 ** 30, got "12GiB"',
    ],
    [
      "no vram",
      () => api.advisePlacement("model.gguf", usage, {} as { vram: number }),
      "advisePlacement needs the option vram",
    ],
    ["title", () => api.reportHtml(analyzed, { title: 3 as unknown as string }), "title must be text, got 3"],
    [
      "tokenRange",
      () => api.hs.analyzeExpertUsage(logits, { tokenRange: [0.5, null] }),
      "tokenRange must be [start, end], whole numbers or null, got [0.5,null]",
    ],
  ];
  test.each(cases)("of %s is refused", async (_, call, message) => {
    expect(await refusal(call)).toMatchObject({
      name: "RequestError",
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(message),
    });
  });
});

describe("what is no capture, usage or analysis", () => {
  const path = "run1" as never;
  const cases: [string, () => unknown, string][] = [
    [
      "analyzeCapture",
      () => analysis.analyzeCapture(path),
      'a capture (of openCapture or llm.capture), got "run1"',
    ],
    [
      "analyzeCapture of a promise",
      () => analysis.analyzeCapture(Promise.resolve(capture) as never),
      "await it first",
    ],
    ["compareCaptures", () => analysis.compareCaptures(path, "run2" as never), "the first capture must be"],
    ["compareCaptures", () => analysis.compareCaptures(capture, path), "the second capture must be"],
    ["compareLabels", () => analysis.compareLabels(path, "a", "b"), "must be a capture"],
    [
      "compareLabels of no label",
      () => analysis.compareLabels(capture, undefined as never, "b"),
      "the first label",
    ],
    ["coactivation", () => analysis.coactivation(path), "must be a capture"],
    ["expertUsage", () => analysis.expertUsage(path), "must be a capture"],
    ["routingEntropy", () => analysis.routingEntropy({} as never), "must be a capture"],
    ["routingMargin", () => analysis.routingMargin(path), "must be a capture"],
    ["specialization", () => analysis.specialization(path), "must be a capture"],
    [
      "specializedExperts",
      () => analysis.specializedExperts(capture as never),
      "what specialization() gives",
    ],
    [
      "largestShifts",
      () => analysis.largestShifts(capture as never),
      "what compareCaptures or compareLabels",
    ],
    ["pruneCandidates", () => api.pruneCandidates(path), "must be a capture"],
    ["routedExperts", () => api.routedExperts(path), "must be a capture"],
    ["streamArray", () => api.streamArray(path, "expert_ids"), "must be a capture"],
    ["usageTable", () => api.usageTable(capture as never), "what expertUsage or a usage reducer gives"],
    ["expertLoad", () => api.expertLoad(capture.model, capture as never), "what expertUsage or a usage"],
    ["advisePlacement", () => api.advisePlacement("m", capture as never, { vram: 1 }), "what expertUsage"],
    ["reportHtml", () => api.reportHtml(capture as never), "what analyzeCapture gives"],
    [
      "reportHtml of some measures",
      async () => api.reportHtml((await analysis.analyzeCapture(capture, { measures: ["usage"] })) as never),
      "when it is asked for all measures",
    ],
    ["exportCapture", () => api.exportCapture(path, "npy", "out"), "must be a capture"],
    [
      "exportCapture's format",
      () => api.exportCapture(capture, "csv" as "npy", "out"),
      "did you mean usage-csv?",
    ],
    [
      "exportCapture's path",
      () => api.exportCapture(capture, "npy", undefined as never),
      "the path must be text",
    ],
    ["hs.analyzeExpertUsage", () => api.hs.analyzeExpertUsage(capture as never), "router logits by layer"],
    ["reducer", () => analysis.reducer(analysis.measures.specialization as never), "analyzeCapture"],
  ];
  test.each(cases)("is refused by %s", async (_, call, message) => {
    expect(await refusal(call)).toMatchObject({
      name: "RequestError",
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(message),
    });
  });
});
