import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as analysis from "../../src/analysis.ts";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { MemorySink } from "../../src/capture/memory.ts";
import * as api from "../../src/index.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { syntheticEngine } from "../hs/synthetic-engine.ts";
import { drive, syntheticRun } from "../store/synthetic.ts";
import { ExportedApi, type OptionsParameter } from "./exported-api.ts";

const capture = await drive(syntheticRun({ lengths: [6, 5, 4, 7] }), new MemorySink());
const usage = analysis.expertUsage(capture);
const found = analysis.compareCaptures(capture, capture, { permutations: 9 });
const specialized = analysis.specialization(capture, { permutations: 9 });
const analyzed = await analysis.analyzeCapture(capture, { permutations: 9 });
const logits = new Map(capture.routerLogits);
const llm = LanguageModel.of(syntheticEngine());
const nowhere = join(tmpdir(), "moescope-no-such-model.gguf");

/** What takes options, by the name it is exported under, called with some. */
const CALLS: Record<string, readonly ((options: object) => unknown)[]> = {
  load: [
    (options) => api.load(nowhere, options),
    (options) => api.load("org/no-such-model", { engine: "vllm", python: "/nowhere", ...options }),
    (options) => api.load("http://127.0.0.1:1", options),
  ],
  inspectModel: [(options) => api.inspectModel(nowhere, options)],
  selectionBias: [(options) => api.selectionBias(nowhere, options)],
  "LanguageModel.capture": [
    (options) => llm.capture("a", options),
    (options) => llm.capture("a", { into: new MemorySink(), ...options }),
  ],
  "LanguageModel.stream": [(options) => llm.stream("a", options).next()],
  "LanguageModel.resume": [(options) => llm.resume(nowhere, options)],
  "LanguageModel.tensors": [(options) => llm.tensors(options)],
  "LanguageModel.encodeAll": [(options) => llm.encodeAll(["a"], options)],
  "LanguageModel.tokenize": [(options) => llm.tokenize("a", options)],
  "new FolderSink": [(options) => new FolderSink(nowhere, options)],
  analyzeCapture: [(options) => analysis.analyzeCapture(capture, options)],
  compareCheckpoints: [(options) => analysis.compareCheckpoints([capture, capture, capture], options)],
  compareCaptures: [(options) => analysis.compareCaptures(capture, capture, options)],
  compareLabels: [(options) => analysis.compareLabels(capture, "label 0", "label 1", options)],
  specialization: [(options) => analysis.specialization(capture, options)],
  specializedExperts: [(options) => analysis.specializedExperts(specialized, options)],
  largestShifts: [(options) => analysis.largestShifts(found, options)],
  underusedExperts: [(options) => analysis.underusedExperts(usage.layers.get(1)!, options)],
  advisePlacement: [(options) => api.advisePlacement(nowhere, usage, { vram: 1, ...options })],
  reportHtml: [(options) => api.reportHtml(analyzed, options)],
  "hs.analyzeExpertUsage": [(options) => api.hs.analyzeExpertUsage(logits, options)],
  "hs.getMoeRouterLogits": [(options) => api.hs.getMoeRouterLogits(llm, ["a"], options)],
  "hs.getMoeRouterLogitsGenerate": [
    (options) => api.hs.getMoeRouterLogitsGenerate(llm, { prompts: ["a"], ...options }),
  ],
  "hs.getAllHiddenStates": [(options) => api.hs.getAllHiddenStates(llm, ["a"], options)],
  "hs.capture": [(options) => api.hs.capture(llm, ["a"], options)],
  "hs.getAllHiddenStatesGenerate": [
    (options) => api.hs.getAllHiddenStatesGenerate(llm, { prompts: ["a"], ...options }),
  ],
  "hs.HiddenStatesCaptureV1.getAllHiddenStates": [
    (options) => new api.hs.HiddenStatesCaptureV1().getAllHiddenStates(llm, ["a"], options),
  ],
  "hs.HiddenStatesCaptureGenerate.getAllHiddenStatesGenerate": [
    (options) =>
      new api.hs.HiddenStatesCaptureGenerate().getAllHiddenStatesGenerate(llm, {
        prompts: ["a"],
        ...options,
      }),
  ],
  "hs.MoERouterLogitsCaptureGenerate.getRouterLogitsGenerate": [
    (options) =>
      new api.hs.MoERouterLogitsCaptureGenerate().getRouterLogitsGenerate(llm, {
        prompts: ["a"],
        ...options,
      }),
  ],
  "hs.MoERouterLogitsCaptureV1.getRouterLogits": [
    (options) => new api.hs.MoERouterLogitsCaptureV1().getRouterLogits(llm, ["a"], options),
  ],
};

const exported = new ExportedApi(["src/index.ts", "src/analysis.ts"])
  .optionsParameters()
  // JavaScript's own options of an Error.
  .filter(({ call }) => !/^new \w+Error$/.test(call));

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

/** `{ a: { b: value } }` of `a.b`. */
const nested = (path: string, value: unknown): object =>
  path.split(".").reduceRight<unknown>((inner, name) => ({ [name]: inner }), value) as object;

const snakeCase = (path: string) => path.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);

/** The objects that hold options: the outermost, and those within. */
const holders = ({ names }: OptionsParameter) => [
  "",
  ...new Set(
    names.filter((name) => name.includes(".")).map((name) => name.slice(0, name.lastIndexOf(".") + 1)),
  ),
];

test("the calls that are tried are all there are", () => {
  expect(exported.map(({ call }) => call).sort()).toEqual(Object.keys(CALLS).sort());
  expect(exported.find(({ call }) => call === "LanguageModel.capture")!.names).toEqual(
    expect.arrayContaining(["select.last", "attention.topKeys", "maxTokens", "into"]),
  );
});

test.each(exported)("$call refuses an option that it does not have, at any depth", async (parameter) => {
  for (const call of CALLS[parameter.call]!)
    for (const holder of holders(parameter)) {
      // vLLM's engine arguments have names that only vLLM knows.
      const isOpen = parameter.call === "load" && holder === "";
      for (const name of isOpen ? ["no nonsense"] : ["nonsense"]) {
        const { message, ...error } = await refusal(() => call(nested(`${holder}${name}`, 1)));
        expect(error, message).toEqual({ name: "RequestError", code: "INVALID_ARGUMENT" });
        // Of load each engine knows its own: another's nested option is itself unknown.
        if (parameter.call !== "load") expect(message).toContain(`has no option "${name}"`);
      }
    }
});

test.each(exported)(
  "$call says which option was meant where it is written as in Python",
  async (parameter) => {
    const written = parameter.names.filter((name) => snakeCase(name) !== name);
    for (const call of CALLS[parameter.call]!)
      for (const name of written) {
        const { message, ...error } = await refusal(() => call(nested(snakeCase(name), 1)));
        expect(error, `${name}: ${message}`).toEqual({ name: "RequestError", code: "INVALID_ARGUMENT" });
        const meant = name.slice(name.lastIndexOf(".") + 1);
        if (parameter.call !== "load") expect(message).toContain(`did you mean ${meant}?`);
      }
  },
);

test("an option that llama.cpp, vLLM or a server has is known by its own name to that one", async () => {
  const [llama, vllm, server] = CALLS.load!;
  const message = async (call: (options: object) => unknown, options: object) =>
    (await refusal(() => call(options))).message;
  expect(await message(llama!, { context_size: 1 })).toBe(
    'load has no option "context_size": did you mean contextSize?',
  );
  expect(await message(llama!, { tensorParallelSize: 2 })).toContain(
    'load has no option "tensorParallelSize"',
  );
  expect(await message(vllm!, { tensor_parallel_size: 2 })).toContain("did you mean tensorParallelSize?");
  expect(await message(vllm!, { maxmodellen: 2 })).toContain("did you mean maxModelLen?");
  expect(await message(vllm!, { some_other: 2 })).toContain("did you mean someOther?");
  expect(await message(vllm!, { limits: { host_bytes: 2 } })).toContain("did you mean hostBytes?");
  expect(await message(server!, { api_key: "x" })).toContain("did you mean apiKey?");
  expect(await message(server!, { contextSize: 1 })).toContain(
    "contextSize cannot be set for a server that is running",
  );
});

test("the options of a run have values of their kind", async () => {
  const cases: [object, string][] = [
    [{ streams: "router_logits" }, 'capture: streams must be an array, got "router_logits"'],
    [{ layers: 3 }, "capture: layers must be an array, got 3"],
    [{ select: "last" }, 'select takes its options as an object, { name: value }; it got "last"'],
    [{ select: { last: 0 } }, "capture: select.last must be a whole number from 1, got 0"],
    [{ select: { phase: "decode" } }, "select.phase must be one of prompt, generated"],
    [{ select: { positions: [0, 0.5] } }, "select.positions[1] must be a whole number"],
    [{ select: { tokenIds: [0, -1] } }, "select.tokenIds[1] must be a whole number from 0"],
    [{ select: { window: [3] } }, "select.window must be [start, end] or [start, null]"],
    [{ select: { window: [3, 3] } }, "window ends before it begins"],
    [{ select: { any: [] } }, "any needs at least one condition"],
    [{ select: { exclude: {} } }, "an exclude without a condition would leave out every row"],
    [{ select: { exclude: { token_ids: [1] } } }, "did you mean tokenIds?"],
    [{ reduce: "avg" }, "reduce must be one of all, last, mean"],
    [{ maxRows: 0 }, "maxRows must be a whole number from 1"],
    [{ n: 2 }, "n: 2 samples of a prompt would all be the same"],
    [{ reduce: "mean" }, 'reduce "mean" has no meaning for expert_ids, expert_weights'],
    [{ select: { positions: 4 } }, "select.positions must be an array, got 4"],
    [{ attention: { topKeys: 0 } }, "attention.topKeys must be a whole number from 1"],
    [{ maxTokens: "5" }, 'maxTokens must be a whole number from 0, got "5"'],
    [{ stop: "###" }, 'stop must be an array, got "###"'],
    [{ stop: [""] }, "stop[0] must be text that is not empty"],
    [{ ignoreEos: 1 }, "ignoreEos must be true or false"],
    [{ topP: 0 }, "topP must be a number above 0, to 1, got 0"],
    [{ signal: {} }, "signal must be an AbortSignal"],
    [{ onProgress: 1 }, "onProgress must be a function"],
    [{ into: 3 }, "into must be the path of a folder, or a sink"],
    [{ into: {} }, "into must be the path of a folder, or a sink"],
    [{ into: "" }, "into must be the path of a folder, or a sink"],
  ];
  for (const [options, message] of cases)
    expect(await refusal(() => llm.capture("a", options))).toMatchObject({
      name: "RequestError",
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining(message),
    });
});

test.each([[null], [[null]], [[undefined]], [undefined], [[]], [{}], [3]])(
  "%o is no prompt",
  async (prompt) => {
    expect(await refusal(() => llm.capture(prompt as never))).toMatchObject({
      name: "RequestError",
      code: "INVALID_ARGUMENT",
    });
  },
);

test.each([undefined, null, 3, {}])("%o is no path, model or text", async (value) => {
  const given = value as never;
  for (const call of [
    () => api.load(given),
    () => api.inspectModel(given),
    () => api.openCapture(given),
    () => api.storedRun(given),
    () => llm.resume(given),
    () => llm.tokenize(given),
    () => new FolderSink(given),
  ])
    expect(await refusal(call)).toMatchObject({ name: "RequestError", code: "INVALID_ARGUMENT" });
});
