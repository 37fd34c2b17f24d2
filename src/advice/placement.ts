import type { ExpertUsage } from "../analysis/expert-usage.ts";
import { largest, smallest } from "../core/extremes.ts";
import { EXPERTS } from "../engines/llama/model/expert-tensors.ts";
import type { Footprint } from "../engines/llama/model/footprint.ts";
import { hottestShare } from "./hottest-share.ts";
import { largestFit } from "./largest-fit.ts";

/** Some layers' experts in the GPU's memory, the others' in the CPU's. */
export interface ExpertPlacement {
  /** Layers whose experts lie in the GPU's memory. */
  readonly onGpu: readonly number[];
  /** What they take, in bytes. */
  readonly bytes: number;
  /** Part of the expert choices (token, layer, expert) served from the GPU's memory. */
  readonly choiceShare: number;
  /** Part of the experts' bytes that a token reads from the GPU's memory: what decoding speed follows. */
  readonly trafficShare: number;
  /** llama.cpp's arguments. */
  readonly arguments: readonly string[];
}

/**
 * Which layers' experts to keep on the GPU, so that what fits serves most of the measured traffic. Memory is in
 * bytes, traffic a part from 0 to 1.
 */
export interface PlacementAdvice {
  readonly budget: {
    /** All in bytes. */
    readonly vram: number;
    /** Weights other than routed experts that go to the GPU, with the output head. */
    readonly weights: number;
    readonly cache: number;
    readonly compute: number;
    /** What is left for experts. */
    readonly experts: number;
  };
  /** Layers on the GPU for all but experts, as `--n-gpu-layers` counts them; `null`: all. */
  readonly gpuLayers: number | null;
  /** `--n-cpu-moe`: the experts of the last layers on the GPU. */
  readonly lastLayers: ExpertPlacement;
  /** The layers whose experts fill the budget best, where that serves more traffic than {@link lastLayers}; else `null`. */
  readonly bestFit: ExpertPlacement | null;
  /** Whether all layers' experts have the same size: then only their number counts. */
  readonly sameSize: boolean;
  /** Rows the profile was measured on. */
  readonly rows: number;
  /**
   * Part of the measured traffic that the same memory could serve if single experts could be placed, the busiest per
   * byte first. llama.cpp cannot: a layer's experts are one tensor.
   */
  readonly singleExperts: number;
  /** Bytes of one expert, by layer. */
  readonly expertBytes: readonly { readonly layer: number; readonly bytes: number }[];
  /** Experts of every MoE layer, as many in each, that the same memory could hold. */
  readonly cacheSlots: number;
}

/** A placement is worth a longer command line from this much more of the traffic on. */
const WORTH = 0.005;

/**
 * Which layers' experts to keep in `vram` bytes of GPU memory, for llama.cpp. Attention, dense layers, the output head,
 * the key-value cache and compute buffers come first: every token needs all of them.
 *
 * A token uses top-k experts in every MoE layer, so all layers have the same number of choices and each byte of a
 * layer's experts is read equally often: no layer is a better place for the memory than another, and a profile cannot
 * change that. What can differ is how well layers of different sizes fill the memory.
 */
export function placeExperts(model: Footprint, usage: ExpertUsage, vram: number): PlacementAdvice {
  const sum = (values: Iterable<number>) => [...values].reduce((total, value) => total + value, 0);
  const gpuLayers = layersThatFit(model, vram);
  const resident = gpuLayers === null ? model.rest : model.rest.slice(model.rest.length + 1 - gpuLayers);
  const weights = gpuLayers === 0 ? 0 : sum(resident) + model.output;
  const cache = resident.length * model.cachePerLayer;
  const left = Math.max(0, vram - weights - cache - model.compute);
  const experts = gpuLayers === null ? left : 0;
  const total = sum(model.experts.values());
  const place = (onGpu: readonly number[], args: readonly string[]): ExpertPlacement => {
    const bytes = sum(onGpu.map((layer) => model.experts.get(layer)!));
    return {
      onGpu,
      bytes,
      choiceShare: onGpu.length / model.experts.size,
      trafficShare: bytes / total,
      arguments: [...ngl(gpuLayers), ...args],
    };
  };
  const layers = [...model.experts.keys()].sort((a, b) => a - b);
  const last = lastThatFit(model.experts, layers, experts);
  const lastLayers = place(last, cpuLayers(model, last));
  const best = largestFit(model.experts, experts);
  const bestFit = place(best, ["-ot", `${cpuPattern(layers.filter((layer) => !best.includes(layer)))}=CPU`]);
  return {
    budget: { vram, weights, cache, compute: model.compute, experts },
    gpuLayers,
    lastLayers,
    bestFit: bestFit.trafficShare >= lastLayers.trafficShare + WORTH ? bestFit : null,
    sameSize: new Set(model.experts.values()).size === 1,
    rows: Math.max(0, largest([...usage.layers.values()].map(({ rows }) => rows))),
    singleExperts: hottestShare(usage, model.experts, experts),
    expertBytes: layers.map((layer) => ({ layer, bytes: model.experts.get(layer)! / usage.experts })),
    cacheSlots: Math.min(usage.experts, Math.floor((experts * usage.experts) / total)),
  };
}

/** Layers (and one for the output) that fit without their experts, from the last; `null`: all do. */
function layersThatFit({ rest, output, cachePerLayer, compute }: Footprint, vram: number): number | null {
  let used = compute + output;
  if (used > vram) return 0;
  for (let count = 1; count <= rest.length; count++) {
    used += rest[rest.length - count]! + cachePerLayer;
    if (used > vram) return count;
  }
  return null;
}

function lastThatFit(
  sizes: ReadonlyMap<number, number>,
  layers: readonly number[],
  budget: number,
): number[] {
  let used = 0;
  let from = layers.length;
  while (from > 0 && used + sizes.get(layers[from - 1]!)! <= budget) used += sizes.get(layers[--from]!)!;
  return layers.slice(from);
}

/** llama.cpp counts dense layers too. */
function cpuLayers({ experts, rest }: Footprint, onGpu: readonly number[]): string[] {
  if (onGpu.length === experts.size) return [];
  if (onGpu.length === 0) return ["--cpu-moe"];
  const first = smallest(onGpu);
  // Up to the first layer on the GPU, of those before it the last that has experts.
  const below = [...experts.keys()].filter((layer) => layer < first);
  return ["--n-cpu-moe", `${Math.min(rest.length, largest(below) + 1)}`];
}

/** A pattern of the expert tensors of some layers, as `std::regex` and JavaScript understand it. */
function cpuPattern(layers: readonly number[]): string {
  return `blk\\.(${layers.join("|")})${EXPERTS}`;
}

const ngl = (gpuLayers: number | null) => ["--n-gpu-layers", `${gpuLayers ?? 999}`];
