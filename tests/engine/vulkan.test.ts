import { join } from "node:path";
import { afterAll, describe, expect, inject, it } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import type { LlamaOptions } from "../../src/engines/llama/options.ts";
import { load } from "../../src/load.ts";
import type { CaptureOptions } from "../../src/model.ts";
import type { Prompt } from "../../src/prompt.ts";
import { ggufOf, maxDifference, PLAIN_STREAMS, Reference } from "../fixtures/families.ts";

const vulkan = inject("vulkan");
const before = process.cwd();

if ("folder" in vulkan) {
  // As a user has it: the package is installed in the current project, not beside moescope.
  process.chdir(vulkan.folder);
  Object.assign(process.env, {
    // The software driver alone, and llama.cpp is to take it although it is no GPU.
    VK_ICD_FILENAMES: "/usr/share/vulkan/icd.d/lvp_icd.x86_64.json",
    GGML_VK_VISIBLE_DEVICES: "0",
    // The driver compiles each shader for the CPU: half-precision ones take minutes. What is compiled is kept.
    GGML_VK_DISABLE_F16: "1",
    GALLIVM_PERF: "nopt",
    MESA_SHADER_CACHE_DIR: join(vulkan.folder, "shaders"),
  });
}
afterAll(() => process.chdir(before));

/**
 * Against the reference, which is computed in float32 on a CPU. Vulkan promises `sin` and `cos` (rotary embeddings) to
 * 2^-11 = 5e-4 only, and other functions to several units in the last place; the largest differences measured are 3.0e-3
 * for logits, 2.0e-3 for hidden states and 1.0e-3 for weights.
 */
const TOLERANCE = { routerLogits: 1e-2, hiddenStates: 1e-2, expertWeights: 4e-3 };
const EXACT = { gpu: "vulkan", kvType: "f32", flashAttention: false, threads: 1, contextSize: 256 } as const;

async function capture(
  family: string,
  prompts: Prompt | readonly Prompt[],
  options: LlamaOptions = {},
  run: CaptureOptions = {},
): Promise<Capture> {
  const llm = await load(ggufOf(family), { ...EXACT, ...options });
  try {
    expect(llm.devices).toEqual([expect.stringMatching(/^Vulkan0 \(llvmpipe/)]);
    return await llm.capture(prompts, { streams: PLAIN_STREAMS, ...run });
  } finally {
    await llm.close();
  }
}

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

const bytes = (data: ArrayBufferView) => Buffer.from(data.buffer, data.byteOffset, data.byteLength);

/** The first shaders of a fresh cache take most of a minute. */
describe.skipIf("missing" in vulkan)("on Vulkan", { timeout: 240_000 }, () => {
  describe.each(["qwen3_moe", "mixtral", "deepseek_v2", "gpt_oss", "dbrx"])("%s", (family) => {
    it("equals Hugging Face, and redirect and copy give the same bits", async () => {
      const reference = new Reference(family);
      const redirected = await capture(family, reference.tokens, { strategy: "redirect" });
      for (const [layer, { data }] of redirected.routerLogits)
        expect(maxDifference(data, reference.get(`router_logits.${layer}`))).toBeLessThan(
          TOLERANCE.routerLogits,
        );
      for (const [layer, { data }] of redirected.expertIds)
        expect([...data]).toEqual([...reference.get(`expert_ids.${layer}`)]);
      for (const [layer, { data }] of redirected.expertWeights)
        expect(maxDifference(data, reference.get(`expert_weights.${layer}`))).toBeLessThan(
          TOLERANCE.expertWeights,
        );
      for (const [layer, { data }] of redirected.hiddenStates)
        expect(maxDifference(data, reference.get(`hidden_states.${layer}`))).toBeLessThan(
          TOLERANCE.hiddenStates,
        );
      expectSameBits(redirected, await capture(family, reference.tokens, { strategy: "copy" }));
    });
  });

  /**
   * llama.cpp cuts the graph into parts here, and copies tensors from part to part, moved ones among them. A small batch
   * keeps the CPU's experts on the CPU: for 32 tokens and more llama.cpp sends the weights to the GPU.
   */
  describe.each([
    { what: "all on the GPU", placement: {} },
    { what: "all experts on the CPU", placement: { cpuMoe: true } },
    { what: "the first layer's experts on the CPU", placement: { cpuMoe: 1 } },
    { what: "the first layers on the CPU", placement: { gpuLayers: 2 } },
    {
      what: "routers on the CPU, by name",
      placement: { overrideTensors: [{ pattern: "ffn_gate_inp", device: "CPU" }] },
    },
  ])("$what", ({ placement }) => {
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

  it("sends a large batch's expert weights to the GPU and captures it too", async () => {
    const reference = new Reference("qwen3_moe");
    const mixed = await capture("qwen3_moe", reference.tokens, { cpuMoe: true, strategy: "redirect" });
    expectClose(
      mixed,
      await capture("qwen3_moe", reference.tokens, { cpuMoe: true, strategy: "copy" }),
      2e-5,
    );
    for (const [layer, { data }] of mixed.expertIds)
      expect([...data]).toEqual([...reference.get(`expert_ids.${layer}`)]);
  });

  it("gpu: false keeps to the CPU, although the GPU is loaded, and gives its bits", async () => {
    const { tokens } = new Reference("qwen3_moe");
    const first = await onCpu(tokens);
    await capture("qwen3_moe", tokens);
    const after = await onCpu(tokens);
    expectSameBits(first, after);
    expect(
      maxDifference(after.routerLogits.get(2)!.data, new Reference("qwen3_moe").get("router_logits.2")),
    ).toBeLessThan(1e-4);
  });

  it("says which devices there are when an override names another", async () => {
    const wrong = load(ggufOf("mixtral"), {
      ...EXACT,
      overrideTensors: [{ pattern: "exps", device: "CUDA7" }],
    });
    await expect(wrong).rejects.toMatchObject({
      name: "RequestError",
      message: expect.stringContaining("the devices are CPU, Vulkan0"),
    });
  });
});

async function onCpu(tokens: Int32Array): Promise<Capture> {
  const llm = await load(ggufOf("qwen3_moe"), { ...EXACT, gpu: false });
  try {
    expect(llm.devices).toEqual([]);
    return await llm.capture(tokens, { streams: PLAIN_STREAMS });
  } finally {
    await llm.close();
  }
}
