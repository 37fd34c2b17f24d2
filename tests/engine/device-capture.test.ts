import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import { packageRoot } from "../../src/core/package-root.ts";
import type { LlamaOptions } from "../../src/engines/llama/options.ts";
import type { CaptureOptions } from "../../src/run/language-model.ts";
import { load } from "../../src/run/load.ts";
import type { Prompt } from "../../src/run/prompts/prompt-object.ts";
import { ggufOf, maxDifference, PLAIN_STREAMS, Reference } from "../fixtures/families.ts";

/** A kind of GPU, and how far its values may be from the reference, which is computed in float32 on a CPU. */
interface Kind {
  readonly gpu: "vulkan" | "cuda";
  readonly device: RegExp;
  readonly env: (folder: string) => Record<string, string>;
  readonly tolerance: Readonly<Record<"routerLogits" | "hiddenStates" | "expertWeights", number>>;
}

const KINDS: readonly Kind[] = [
  {
    gpu: "vulkan",
    device: /^Vulkan0 \(llvmpipe/,
    env: (folder) => ({
      // The software driver alone, and llama.cpp is to take it although it is no GPU.
      VK_ICD_FILENAMES: "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json",
      GGML_VK_VISIBLE_DEVICES: "0",
      // The driver compiles each shader for the CPU: half-precision ones take minutes. What is compiled is kept.
      GGML_VK_DISABLE_F16: "1",
      GALLIVM_PERF: "nopt",
      MESA_SHADER_CACHE_DIR: join(folder, "shaders"),
    }),
    // Vulkan promises `sin` and `cos` (rotary embeddings) to 2^-11 = 5e-4 only, and other functions to several units in
    // the last place; the largest differences measured are 3.0e-3, 2.0e-3 and 1.0e-3.
    tolerance: { routerLogits: 1e-2, hiddenStates: 1e-2, expertWeights: 4e-3 },
  },
  {
    gpu: "cuda",
    device: /^CUDA0 \(/,
    env: () => ({}),
    // CUDA multiplies float32 matrices as TF32, with 10 bits of mantissa.
    tolerance: { routerLogits: 5e-2, hiddenStates: 5e-2, expertWeights: 1e-2 },
  },
];

const EXACT = { kvType: "f32", flashAttention: false, threads: 1, contextSize: 256 } as const;

function expectSameBits(a: Capture, b: Capture): void {
  expect(b.rows.tokenId).toEqual(a.rows.tokenId);
  for (const name of PLAIN_STREAMS)
    for (const [layer, { data }] of a.stream(name))
      expect(Buffer.compare(bytes(data), bytes(b.stream(name).get(layer)!.data)), `${name} ${layer}`).toBe(0);
}

function expectClose(a: Capture, b: Capture, tolerance: number): void {
  expect(b.rows.tokenId).toEqual(a.rows.tokenId);
  for (const name of PLAIN_STREAMS)
    for (const [layer, { data }] of a.stream(name))
      expect(maxDifference(data, b.stream(name).get(layer)!.data), `${name} ${layer}`).toBeLessThan(
        tolerance,
      );
}

/** Against the CPU: the same tokens fed, so that a row that lies in the wrong place shows. */
function expectNear(a: Capture, b: Capture, { tolerance }: Kind): void {
  expect(b.rows.tokenId).toEqual(a.rows.tokenId);
  for (const name of ["routerLogits", "hiddenStates"] as const)
    for (const [layer, { data }] of a[name])
      expect(maxDifference(data, b[name].get(layer)!.data), `${name} ${layer}`).toBeLessThan(tolerance[name]);
}

const bytes = (data: ArrayBufferView) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

/** The first shaders of a fresh cache take most of a minute. */
describe.each(KINDS)("on $gpu", { timeout: 240_000 }, (kind) => {
  const { gpu, device, tolerance } = kind;
  const place = inject(gpu);
  if ("missing" in place) {
    it.skip(place.missing, () => {});
    return;
  }
  /** The software driver takes seconds for each: a kind of test is run once where not all are asked for. */
  const some = <T>(all: readonly T[], few: number): readonly T[] =>
    place.thorough ? all : all.slice(0, few);
  const before = process.cwd();
  beforeAll(() => {
    // As a user has it: the package is installed in the current project, not beside moescope.
    process.chdir(place.folder);
    Object.assign(process.env, kind.env(place.folder));
  });
  afterAll(() => process.chdir(before));

  async function capture(
    family: string,
    prompts: Prompt | readonly Prompt[],
    options: LlamaOptions = {},
    run: CaptureOptions = {},
  ): Promise<Capture> {
    const llm = await load(ggufOf(family), { ...EXACT, gpu, ...options });
    try {
      expect(llm.devices).toEqual([expect.stringMatching(device)]);
      return await llm.capture(prompts, { streams: PLAIN_STREAMS, ...run });
    } finally {
      await llm.close();
    }
  }

  it("an embedding model's rows and pooled embedding, alone and among others", async () => {
    const name = "embeddings/nomic_bert_moe";
    const reference = new Reference(name);
    const tokens = [...reference.tokens];
    const captured = await capture(name, [tokens.slice(0, 4), tokens], { normalize: false });
    expect(captured.embedding).toEqual({ pooling: "mean", normalize: false });
    const { routerLogits, hiddenStates } = captured.sample(1);
    const near = (data: ArrayLike<number>, of: string, width: number) =>
      expect(maxDifference(data, reference.get(of)), of).toBeLessThan(width);
    for (const [layer, { data }] of hiddenStates)
      near(data, `hidden_states.${layer}`, tolerance.hiddenStates);
    for (const [layer, { data }] of routerLogits)
      near(data, `router_logits.${layer}`, tolerance.routerLogits);
    near(captured.outputs[1]!.embedding!, "pooled.mean", tolerance.hiddenStates);
  });

  describe.each(some(["qwen3_moe", "deepseek_v2", "mixtral", "gpt_oss", "dbrx"], 2))("%s", (family) => {
    it("equals Hugging Face, and redirect and copy give the same bits", async () => {
      const reference = new Reference(family);
      const redirected = await capture(family, reference.tokens, { strategy: "redirect" });
      for (const [layer, { data }] of redirected.routerLogits)
        expect(maxDifference(data, reference.get(`router_logits.${layer}`))).toBeLessThan(
          tolerance.routerLogits,
        );
      for (const [layer, { data }] of redirected.expertIds)
        expect([...data]).toEqual([...reference.get(`expert_ids.${layer}`)]);
      for (const [layer, { data }] of redirected.expertWeights)
        expect(maxDifference(data, reference.get(`expert_weights.${layer}`))).toBeLessThan(
          tolerance.expertWeights,
        );
      for (const [layer, { data }] of redirected.hiddenStates)
        expect(maxDifference(data, reference.get(`hidden_states.${layer}`))).toBeLessThan(
          tolerance.hiddenStates,
        );
      expectSameBits(redirected, await capture(family, reference.tokens, { strategy: "copy" }));
    });
  });

  /**
   * llama.cpp cuts the graph into parts here, and copies tensors from part to part, moved ones among them. A small batch
   * keeps the CPU's experts on the CPU: for 32 tokens and more llama.cpp sends the weights to the GPU.
   */
  const placements = [
    { what: "the first layer's experts on the CPU", placement: { cpuMoe: 1 } },
    { what: "all on the GPU", placement: {} },
    { what: "all experts on the CPU", placement: { cpuMoe: true } },
    { what: "the first layers on the CPU", placement: { gpuLayers: 2 } },
    {
      what: "routers on the CPU, by name",
      placement: { overrideTensors: [{ pattern: "ffn_gate_inp", device: "CPU" }] },
    },
  ];
  describe.each(some(placements, 1))("$what", ({ placement }) => {
    it("captures several samples that generate", async () => {
      const { tokens } = new Reference("qwen3_moe");
      const prompts = [tokens.subarray(0, 16), tokens.subarray(10, 26)];
      const run = { maxTokens: 4, ignoreEos: true };
      const options = { ...placement, batchSize: 16 };
      const redirected = await capture("qwen3_moe", prompts, { ...options, strategy: "redirect" }, run);
      const copied = await capture("qwen3_moe", prompts, { ...options, strategy: "copy" }, run);
      expect(redirected.outputs).toEqual(copied.outputs);
      // A tensor that is copied stops the graph there, and kernels that add and normalise in one go then do not: the
      // last bit may differ. A value from the wrong place would be off by a thousand times more.
      expectClose(redirected, copied, 2e-5);
    });
  });

  it.runIf(place.thorough)(
    "sends a large batch's expert weights to the GPU and captures it too",
    async () => {
      const reference = new Reference("qwen3_moe");
      const mixed = await capture("qwen3_moe", reference.tokens, { cpuMoe: true, strategy: "redirect" });
      expectClose(
        mixed,
        await capture("qwen3_moe", reference.tokens, { cpuMoe: true, strategy: "copy" }),
        2e-5,
      );
      for (const [layer, { data }] of mixed.expertIds)
        expect([...data]).toEqual([...reference.get(`expert_ids.${layer}`)]);
    },
  );

  it.each(some(["redirect", "copy"] as const, 1))(
    "%s: a step long after the graph was built has its own values, not those of an earlier one",
    async (strategy) => {
      const prompt = new Reference("qwen3_moe").tokens.subarray(0, 16);
      const generated = await capture("qwen3_moe", prompt, { strategy }, { maxTokens: 64, ignoreEos: true });
      expect(generated.rows.length).toBe(16 + 64 - 1);
      expectNear(generated, await onCpu("qwen3_moe", generated.rows.tokenId), kind);
    },
  );

  // The step that draws has the same graph as those before it, in which the output matrix was left out.
  it("draws the same tokens whether the prompt goes in whole or token by token", async () => {
    const prompt = new Reference("qwen3_moe").tokens.subarray(0, 32);
    const run = { maxTokens: 6, ignoreEos: true };
    const whole = await capture("qwen3_moe", prompt, { batchSize: 32 }, run);
    const single = await capture("qwen3_moe", prompt, { batchSize: 1, parallel: 1 }, run);
    expect(single.outputs).toEqual(whole.outputs);
    expectNear(single, await onCpu("qwen3_moe", single.rows.tokenId), kind);
  });

  it("ends at once when it is cancelled, and captures again", async () => {
    const prompt = new Reference("qwen3_moe").tokens.subarray(0, 16);
    const llm = await load(ggufOf("qwen3_moe"), { ...EXACT, gpu });
    try {
      const expected = await llm.capture(prompt, { streams: PLAIN_STREAMS });
      const controller = new AbortController();
      const cancelled = llm.capture(prompt, {
        maxTokens: 200,
        ignoreEos: true,
        signal: controller.signal,
        onProgress: () => controller.abort(),
      });
      await expect(cancelled).rejects.toThrow(expect.objectContaining({ name: "AbortError" }));
      expectSameBits(expected, await llm.capture(prompt, { streams: PLAIN_STREAMS }));
    } finally {
      await llm.close();
    }
  });

  it.runIf(place.thorough)("runs the demo model", async () => {
    const model = join(packageRoot, "models", "demo", "demo-moe.gguf");
    const prompt = "import numpy as np\n\ndef mean(values):\n    return";
    const on = async (options: LlamaOptions) => {
      const llm = await load(model, options);
      try {
        return await llm.capture(prompt, { streams: ["router_logits"] });
      } finally {
        await llm.close();
      }
    };
    const cpu = await on({ gpu: false, threads: 1 });
    for (const [layer, { data }] of (await on({ gpu })).routerLogits)
      expect(maxDifference(data, cpu.routerLogits.get(layer)!.data)).toBeLessThan(0.2);
  });

  it("gpu: false keeps to the CPU, although the GPU is loaded, and gives its bits", async () => {
    const { tokens } = new Reference("qwen3_moe");
    const first = await onCpu("qwen3_moe", tokens);
    await capture("qwen3_moe", tokens);
    const after = await onCpu("qwen3_moe", tokens);
    expectSameBits(first, after);
    expect(
      maxDifference(after.routerLogits.get(2)!.data, new Reference("qwen3_moe").get("router_logits.2")),
    ).toBeLessThan(1e-4);
  });

  it("says which devices there are when an override names another", async () => {
    const wrong = load(ggufOf("mixtral"), {
      ...EXACT,
      gpu,
      overrideTensors: [{ pattern: "exps", device: "Elsewhere7" }],
    });
    await expect(wrong).rejects.toMatchObject({
      name: "RequestError",
      message: expect.stringMatching(/the devices are CPU, (Vulkan0|CUDA0)/),
    });
  });
});

async function onCpu(family: string, tokens: Int32Array): Promise<Capture> {
  const llm = await load(ggufOf(family), { ...EXACT, gpu: false });
  try {
    expect(llm.devices).toEqual([]);
    return await llm.capture(tokens, { streams: PLAIN_STREAMS });
  } finally {
    await llm.close();
  }
}
