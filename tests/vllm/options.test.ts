import { describe, expect, it } from "vitest";
import { parseEngineArgument } from "../../src/cli/options/engine-argument.ts";
import { loadOptionsOf } from "../../src/cli/options/load-flags.ts";
import { engineArguments, forTask, settingsOf } from "../../src/engines/vllm/options.ts";
import { load } from "../../src/run/load.ts";

describe("vLLM's engine arguments", () => {
  it("become snake case; what is not given is left to vLLM", () => {
    expect(
      engineArguments({
        maxModelLen: 4096,
        enforceEager: true,
        dtype: "auto",
        revision: undefined,
        limitMmPerPrompt: { image: 1 },
      } as never),
    ).toEqual({ max_model_len: 4096, enforce_eager: true, dtype: "auto", limit_mm_per_prompt: { image: 1 } });
    for (const name of ["max_model_len", "MaxModelLen", "max-model-len", "", "__proto__x"])
      expect(() => engineArguments({ [name]: 1 })).toThrow(
        expect.objectContaining({ code: "INVALID_ARGUMENT" }),
      );
  });

  it("load the model for its task; what is not told is as the checkpoint says", () => {
    expect(forTask({ dtype: "auto" })).toEqual({ dtype: "auto" });
    expect(forTask({ task: "generate" })).toEqual({ runner: "generate" });
    expect(forTask({ task: "embed" })).toEqual({ runner: "pooling" });
    expect(forTask({ task: "embed", pooling: "rank" })).toEqual({ runner: "pooling", convert: "classify" });
    for (const normalize of [true, false])
      expect(forTask({ task: "embed", pooling: "cls", normalize })).toEqual({
        runner: "pooling",
        poolerConfig: { seq_pooling_type: "CLS", use_activation: normalize },
      });
  });

  it.each([
    [{ task: "classify" }, "task must be generate or embed"],
    [{ task: "embed", pooling: "max" }, "pooling must be one of mean, cls, last, rank in vLLM"],
    [{ task: "embed", pooling: "none" }, "pooling none is llama.cpp's"],
    [{ task: "embed", normalize: "yes" }, "normalize must be true or false"],
    [{ task: "embed", pooling: "rank", normalize: true }, "scores, which are never scaled"],
    [{ pooling: "mean" }, 'pooling goes with task "embed"'],
    [{ task: "generate", normalize: true }, 'normalize goes with task "embed"'],
    [{ task: "embed", runner: "pooling" }, "task and runner say the same in two ways"],
  ])("say what of a task is refused: %j", (options, message) => {
    expect(() => forTask(options as never)).toThrow(
      expect.objectContaining({ code: "INVALID_ARGUMENT", message: expect.stringContaining(message) }),
    );
  });

  it("are kept with a capture as far as they are plain", () => {
    expect(settingsOf({ dtype: "float32", maxModelLen: 5, limitMmPerPrompt: { image: 1 } })).toEqual({
      engine: "vllm",
      dtype: "float32",
      maxModelLen: 5,
    });
  });

  it.each([
    ["maxNumSeqs=64", ["maxNumSeqs", 64]],
    ["max-num-seqs=64", ["maxNumSeqs", 64]],
    ["max_num_seqs=64", ["maxNumSeqs", 64]],
    ["enforceEager=true", ["enforceEager", true]],
    ["quantization=fp8", ["quantization", "fp8"]],
    ["quantization=", ["quantization", ""]],
    ['limit-mm-per-prompt={"image":2}', ["limitMmPerPrompt", { image: 2 }]],
    ["kv-cache-dtype=a=b", ["kvCacheDtype", "a=b"]],
  ])("are read from the command line: %s", (text, expected) => {
    expect(parseEngineArgument(text)).toEqual(expected);
  });

  it.each(["maxNumSeqs", "=5", "", "Max=1", "a b=1"])("%j is none", (text) => {
    expect(() => parseEngineArgument(text)).toThrow("is no engine argument");
  });
});

describe("the command line's options", () => {
  it("go to the engine they are of", () => {
    const flags = {
      engine: "vllm",
      context: 512,
      tensorParallelSize: 2,
      engineArg: [["dtype", "float32"]],
      flashAttention: true,
    } as const;
    expect(loadOptionsOf(flags, "org/repo")).toEqual({
      engine: "vllm",
      maxModelLen: 512,
      tensorParallelSize: 2,
      dtype: "float32",
    });
    expect(loadOptionsOf({ apiKey: "k", flashAttention: true }, "http://host:8000")).toEqual({ apiKey: "k" });
  });

  it.each([
    [{ engine: "vllm", gpuLayers: 3 }, "org/repo", "--gpu-layers means nothing to vLLM"],
    [{ engine: "vllm", apiKey: "k" }, "org/repo", "--api-key means nothing to vLLM"],
    [{ tensorParallelSize: 2 }, "model.gguf", "add --engine vllm"],
    [{ apiKey: "k" }, "model.gguf", "--api-key means nothing to llama.cpp"],
    [{ context: 5 }, "http://host", "--context means nothing to a server"],
    [{ tensorParallelSize: 2 }, "https://host", "a server that is running"],
  ] as const)("%j is refused for %s", (flags, model, message) => {
    expect(() => loadOptionsOf({ flashAttention: true, ...flags }, model)).toThrow(message);
  });

  it("that are none are refused in TypeScript too", async () => {
    const wrong = { dtype: "float32" } as never;
    await expect(load("http://localhost:1", wrong)).rejects.toThrow("dtype cannot be set for a server");
    await expect(load("m", { engine: "sglang" } as never)).rejects.toThrow(
      "the engines are llama.cpp and vllm",
    );
  });
});
