import type { Pooling, Task } from "../../core/embedding.ts";
import { given } from "../../core/given.ts";
import type { GpuChoice } from "../../engines/llama/native/gpu.ts";
import type { TensorOverride } from "../../engines/llama/run/placement.ts";
import type { LoadOptions } from "../../run/load.ts";
import { UsageError } from "../usage-error.ts";

/** The options of commands that load a model, parsed. */
export interface LoadFlags {
  readonly engine?: "llama.cpp" | "vllm";
  readonly tensorParallelSize?: number;
  readonly pipelineParallelSize?: number;
  readonly dataParallelSize?: number;
  readonly engineArg?: readonly (readonly [name: string, value: unknown])[];
  readonly apiKey?: string;
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
  readonly task?: Task;
  readonly pooling?: Pooling;
  /** False where it was switched off. */
  readonly normalize?: boolean;
}

/**
 * @param model decides with `--engine` which engine it is.
 * @throws UsageError for an option of another engine.
 */
export function loadOptionsOf(flags: LoadFlags, model: string): LoadOptions {
  if (/^https?:\/\//i.test(model)) {
    refuse(flags, [...LLAMA_FLAGS, ...VLLM_FLAGS, "context", "task", "pooling"], "a server that is running");
    return given({ apiKey: flags.apiKey });
  }
  const { task, pooling } = flags;
  const purpose = given({ task, pooling, normalize: flags.normalize === false ? false : undefined });
  if (flags.engine === "vllm") {
    refuse(flags, [...LLAMA_FLAGS, "apiKey"], "vLLM");
    const { tensorParallelSize, pipelineParallelSize, dataParallelSize, context: maxModelLen } = flags;
    return {
      engine: "vllm",
      ...purpose,
      ...given({ tensorParallelSize, pipelineParallelSize, dataParallelSize, maxModelLen }),
      ...Object.fromEntries(flags.engineArg ?? []),
    };
  }
  refuse(flags, [...VLLM_FLAGS, "apiKey"], "llama.cpp; add --engine vllm");
  const { context: contextSize, kvType, threads, gpu, gpuLayers, flashAttention } = flags;
  return {
    ...purpose,
    ...given({
      contextSize,
      kvType,
      threads,
      gpu,
      gpuLayers,
      cpuMoe: flags.cpuMoe ?? flags.nCpuMoe,
      overrideTensors: flags.overrideTensor,
      isolate: flags.isolate === undefined ? undefined : flags.isolate ? "process" : "thread",
      // Left to llama.cpp unless it was switched off.
      flashAttention: flashAttention ? undefined : false,
    }),
  };
}

/**
 * The options for one of several models: with `--engine vllm`, what only llama.cpp runs is run there, and each engine gets
 * the options that it knows.
 */
export function flagsOfItsEngine(flags: LoadFlags, model: string): LoadFlags {
  if (flags.engine !== "vllm" || /^https?:/i.test(model)) return flags;
  const llama = /\.gguf$|^(hf|ollama|lmstudio):/i.test(model);
  const others: readonly string[] = llama ? VLLM_FLAGS : LLAMA_FLAGS;
  const own = Object.entries(flags).filter(([name]) => !others.includes(name));
  return { ...(Object.fromEntries(own) as unknown as LoadFlags), engine: llama ? "llama.cpp" : "vllm" };
}

const LLAMA_FLAGS = ["kvType", "threads", "gpu", "gpuLayers", "cpuMoe", "nCpuMoe", "overrideTensor"] as const;
const VLLM_FLAGS = ["tensorParallelSize", "pipelineParallelSize", "dataParallelSize", "engineArg"] as const;

function refuse(flags: LoadFlags, names: readonly (keyof LoadFlags)[], engine: string): void {
  const found = names.find((name) => flags[name] !== undefined);
  if (found === undefined) return;
  const option = found.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new UsageError(`--${option} means nothing to ${engine}`);
}
