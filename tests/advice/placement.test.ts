import * as fc from "fast-check";
import { describe, expect, it } from "vitest";
import { advisePlacement } from "../../src/advice/advise-placement.ts";
import { largestFit } from "../../src/advice/largest-fit.ts";
import { placeExperts } from "../../src/advice/placement.ts";
import { expertUsage } from "../../src/analysis/expert-usage.ts";
import type { Capture } from "../../src/capture/capture.ts";
import { parseOverride } from "../../src/engines/llama/flags.ts";
import { type Footprint, footprint } from "../../src/engines/llama/model/footprint.ts";
import { modelInfo, readHeader } from "../../src/engines/llama/model/gguf.ts";
import { cpuMoeOverrides } from "../../src/engines/llama/run/device-placement.ts";
import { load } from "../../src/run/load.ts";
import { ggufOf, Reference } from "../fixtures/families.ts";

const DEMO = "models/demo/demo-moe.gguf";
const SETTINGS = { contextSize: 256, kvType: "f16", batchSize: 32 } as const;

async function sizesOf(path: string): Promise<Footprint> {
  const header = await readHeader(path);
  return footprint(header, modelInfo(header, path), SETTINGS);
}

async function captured(path: string, tokens: Int32Array, options = {}): Promise<Capture> {
  const llm = await load(path, { threads: 1, gpu: false, contextSize: 256, ...options });
  try {
    return await llm.capture(tokens);
  } finally {
    await llm.close();
  }
}

const total = (values: Iterable<number>) => [...values].reduce((sum, value) => sum + value, 0);

describe("largestFit", () => {
  it("fits, and fills as much as any choice does to the rounding of its steps", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 1, max: 1e9 }), { minLength: 1, maxLength: 10 }),
        fc.integer({ min: 1, max: 4e9 }),
        (sizes, budget) => {
          const sum = (keys: readonly number[]) => total(keys.map((key) => sizes[key]!));
          const found = largestFit(new Map(sizes.entries()), budget);
          expect(new Set(found).size).toBe(found.length);
          expect(sum(found)).toBeLessThanOrEqual(budget);
          // Every choice, with each size rounded up to a step.
          const step = budget / 65536;
          for (let bits = 0; bits < 2 ** sizes.length; bits++) {
            const keys = sizes.flatMap((_, key) => ((bits >> key) & 1 ? [key] : []));
            if (sum(keys) + keys.length * step <= budget)
              expect(sum(found)).toBeGreaterThanOrEqual(sum(keys) - sizes.length * step);
          }
        },
      ),
    );
  });
});

describe("the footprint", () => {
  it.each(["qwen3_moe", "glm4_moe", "deepseek_v2", "gpt_oss", "llama4"])(
    "of %s accounts for every tensor once",
    async (family) => {
      const header = await readHeader(ggufOf(family));
      const { experts, rest, output } = await sizesOf(ggufOf(family));
      const names = header.tensors.map(({ name }) => name);
      const embedding = header.tensors.find(({ name }) => name === "token_embd.weight")!;
      // The fixtures are F32 throughout.
      const bytes = ({ shape }: typeof embedding) => shape.reduce((n, m) => n * Number(m), 4);
      const counted = total(experts.values()) + total(rest) + output;
      const all = total(header.tensors.map(bytes));
      expect(counted).toBe(names.includes("output.weight") ? all - bytes(embedding) : all);
      const info = modelInfo(header, family);
      expect([...experts.keys()].sort((a, b) => a - b)).toEqual(info.moe!.layers);
    },
  );
});

describe("the arguments", () => {
  it.each(["qwen3_moe", "glm4_moe", "deepseek_v2", "gpt_oss", "arctic"])(
    "of %s name exactly the experts that do not fit",
    async (family) => {
      const header = await readHeader(ggufOf(family));
      const sizes = await sizesOf(ggufOf(family));
      const capture = await captured(ggufOf(family), new Reference(family).tokens);
      const needed =
        total(sizes.rest) + sizes.output + sizes.rest.length * sizes.cachePerLayer + sizes.compute;
      // The last layer's experts are half as large: the best fit is another than the last layers.
      const layers = [...sizes.experts.keys()].sort((a, b) => a - b);
      const size = sizes.experts.get(layers[0]!)!;
      const mixed = { ...sizes, experts: new Map(layers.map((layer, i) => [layer, size * (1 + (i % 2))])) };
      for (const room of [0, 1, 1.5, 2, 3, 100]) {
        const advice = placeExperts(mixed, expertUsage(capture), needed + room * size);
        expect(advice.gpuLayers).toBeNull();
        for (const placement of [advice.lastLayers, advice.bestFit].filter((found) => found !== null)) {
          expect(placement.bytes).toBeLessThanOrEqual(room * size);
          const onCpu = layers.filter((layer) => !placement.onGpu.includes(layer));
          const matched = header.tensors
            .filter(({ name }) => patternsOf(placement.arguments).some((pattern) => pattern.test(name)))
            .map(({ name }) => name);
          const experts = header.tensors
            .map(({ name }) => name)
            .filter(
              (name) => /ffn_(up|down|gate)_exps\./.test(name) && onCpu.includes(Number(name.split(".")[1])),
            );
          expect(new Set(matched)).toEqual(new Set(experts));
          expect(placement.trafficShare).toBeCloseTo(placement.bytes / total(mixed.experts.values()), 12);
        }
        if (advice.bestFit)
          expect(advice.bestFit.trafficShare).toBeGreaterThan(advice.lastLayers.trafficShare);
      }
    },
  );

  it("load, and change no value", async () => {
    const tokens = new Reference("qwen3_moe").tokens;
    const sizes = await sizesOf(ggufOf("qwen3_moe"));
    const plain = await captured(ggufOf("qwen3_moe"), tokens);
    const needed = total(sizes.rest) + sizes.output + sizes.rest.length * sizes.cachePerLayer + sizes.compute;
    const layers = [...sizes.experts.keys()];
    const size = sizes.experts.get(layers[0]!)!;
    const mixed = { ...sizes, experts: new Map(layers.map((layer, i) => [layer, size * (1 + (i % 2))])) };
    const { bestFit } = placeExperts(mixed, expertUsage(plain), needed + 2 * size);
    const override = parseOverride(bestFit!.arguments.at(-1)!);
    expect(override.device).toBe("CPU");
    const placed = await captured(ggufOf("qwen3_moe"), tokens, { overrideTensors: [override] });
    for (const [layer, { data }] of plain.routerLogits)
      expect(placed.routerLogits.get(layer)!.data).toEqual(data);
  });

  it("leave layers to the CPU when the rest alone is too large", async () => {
    const sizes: Footprint = {
      experts: new Map([
        [1, 100],
        [2, 100],
      ]),
      rest: [10, 20, 30],
      output: 5,
      cachePerLayer: 1,
      compute: 4,
    };
    const usage = { experts: 4, topK: 1, fairShare: 0.25, layers: new Map() };
    const at = (vram: number) => placeExperts(sizes, usage, vram);
    expect(at(8)).toMatchObject({ gpuLayers: 0, budget: { weights: 0, cache: 0, experts: 0 } });
    // The output, then layers from the last.
    expect(at(9).gpuLayers).toBe(1);
    expect(at(9 + 31)).toMatchObject({ gpuLayers: 2, budget: { weights: 35, cache: 1 } });
    expect(at(9 + 31 + 21 + 10).lastLayers.arguments).toEqual(["--n-gpu-layers", "3", "--cpu-moe"]);
    expect(at(9 + 31 + 21 + 11)).toMatchObject({ gpuLayers: null, budget: { experts: 0 } });
    expect(at(9 + 31 + 21 + 11 + 150).lastLayers).toMatchObject({
      onGpu: [2],
      choiceShare: 0.5,
      arguments: ["--n-gpu-layers", "999", "--n-cpu-moe", "2"],
    });
  });
});

/** What llama.cpp makes of the arguments; `--cpu-moe` and `--n-cpu-moe` as its command line writes them out. */
function patternsOf(args: readonly string[]): RegExp[] {
  const value = (name: string) => args[args.indexOf(name) + 1]!;
  if (args.includes("-ot")) return [new RegExp(parseOverride(value("-ot")).pattern)];
  const moe = args.includes("--cpu-moe")
    ? true
    : args.includes("--n-cpu-moe")
      ? Number(value("--n-cpu-moe"))
      : 0;
  return cpuMoeOverrides(moe).map(({ pattern }) => new RegExp(pattern));
}

describe("advisePlacement", () => {
  it("refuses the profile of another model, and dense models", async () => {
    const usage = expertUsage(await captured(ggufOf("mixtral"), new Reference("mixtral").tokens));
    await expect(advisePlacement(DEMO, usage, { vram: 1e9 })).rejects.toThrow(
      /profile is of another model.*moescope profile/,
    );
    await expect(advisePlacement(ggufOf("qwen3_dense"), usage, { vram: 1e9 })).rejects.toThrow(/dense/);
  });

  it("bounds what single experts could serve by what is measured", async () => {
    const llm = await load(DEMO, { threads: 1 });
    const capture = await llm.capture("import numpy as np\n\ndef mean(values):");
    await llm.close();
    const usage = expertUsage(capture);
    const sizes = await sizesOf(DEMO);
    const rest = total(sizes.rest) + sizes.output + 6 * sizes.cachePerLayer + sizes.compute;
    const layer = sizes.experts.get(0)!;
    const { singleExperts, lastLayers } = placeExperts(sizes, usage, rest + 2 * layer);
    expect(lastLayers.onGpu).toEqual([4, 5]);
    expect(lastLayers.trafficShare).toBeCloseTo(1 / 3, 12);
    // All layers have the same size here: the 32 busiest of the 96 experts fit.
    const counts = [...usage.layers.values()].flatMap(({ counts }) => [...counts]).sort((a, b) => b - a);
    expect(singleExperts).toBeCloseTo(total(counts.slice(0, 32)) / total(counts), 12);
  });
});
