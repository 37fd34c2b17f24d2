import type { GpuChoice } from "../engines/llama/gpu.ts";
import type { TensorOverride } from "../engines/llama/placement.ts";
import { given } from "../given.ts";
import type { LoadOptions } from "../load.ts";

/** The options of commands that load a model, parsed. */
export interface LoadFlags {
  readonly context?: number;
  readonly kvType?: "f32" | "f16" | "q8_0";
  readonly flashAttention: boolean;
  readonly threads?: number;
  readonly gpu?: GpuChoice;
  readonly gpuLayers?: number;
  readonly cpuMoe?: boolean;
  readonly nCpuMoe?: number;
  readonly overrideTensor?: readonly TensorOverride[];
  readonly isolate?: boolean;
}

export function loadOptionsOf(flags: LoadFlags): LoadOptions {
  const { context: contextSize, kvType, threads, gpu, gpuLayers, flashAttention } = flags;
  return given({
    contextSize,
    kvType,
    threads,
    gpu,
    gpuLayers,
    cpuMoe: flags.cpuMoe ?? flags.nCpuMoe,
    overrideTensors: flags.overrideTensor,
    isolate: flags.isolate ? "process" : undefined,
    // Left to llama.cpp unless it was switched off.
    flashAttention: flashAttention ? undefined : false,
  });
}
