import { RequestError } from "../../core/errors.ts";
import { type OptionFlag, sets } from "../flag.ts";
import { CONTEXT, STEP_TIMEOUT, TASK_FLAGS } from "../shared-flags.ts";
import { GPU_KINDS, type GpuChoice } from "./native/gpu.ts";
import type { LlamaOptions } from "./options.ts";
import type { TensorOverride } from "./run/device-placement.ts";

/** The options of {@link LlamaOptions} that the command line has. */
export const LLAMA_FLAGS: readonly OptionFlag<LlamaOptions>[] = [
  ...TASK_FLAGS,
  sets(CONTEXT, (contextSize: number) => ({ contextSize })),
  sets(
    {
      name: "kvType",
      placeholder: "<type>",
      type: { is: "choice", among: ["f32", "f16", "q8_0"] },
      help: "element type of the key-value cache",
      stored: true,
    },
    (kvType: NonNullable<LlamaOptions["kvType"]>) => ({ kvType }),
  ),
  sets(
    {
      name: "flashAttention",
      off: true,
      type: { is: "switch" },
      help: "attention as separate steps, for comparisons",
      stored: true,
    },
    (flashAttention: boolean) => ({ flashAttention }),
  ),
  sets(
    {
      name: "threads",
      placeholder: "<n>",
      type: { is: "whole", least: 1, most: 1024 },
      help: "threads that compute (default: one a core, fewer for small models)",
    },
    (threads: number) => ({ threads }),
  ),
  sets(
    {
      name: "isolate",
      off: true,
      type: { is: "switch" },
      help: "run llama.cpp in a thread of this process: only for files you trust",
    },
    () => ({ isolate: "thread" }),
  ),
  sets(
    {
      name: "gpu",
      placeholder: "<kind>",
      type: { is: "parsed", parse: parseGpu },
      help: "auto, cuda, vulkan, metal or off (default: auto)",
    },
    (gpu: GpuChoice) => ({ gpu }),
  ),
  sets(STEP_TIMEOUT, (seconds: number) => ({ stepTimeout: 1000 * seconds })),
  sets(
    {
      name: "gpuLayers",
      placeholder: "<n>",
      type: { is: "whole", least: 0, most: 1 << 16 },
      help: "layers on the GPU (default: all)",
    },
    (gpuLayers: number) => ({ gpuLayers }),
  ),
  // The first of two that set one option counts.
  sets(
    { name: "cpuMoe", type: { is: "switch" }, help: "keep all experts in the CPU's memory" },
    (cpuMoe: boolean) => ({ cpuMoe }),
  ),
  sets(
    {
      name: "nCpuMoe",
      placeholder: "<n>",
      type: { is: "whole", least: 0 },
      help: "keep the experts of the first n layers there",
    },
    (cpuMoe: number) => ({ cpuMoe }),
  ),
  sets(
    {
      name: "overrideTensor",
      placeholder: "<pattern=device>",
      type: { is: "parsed", parse: parseOverride },
      help: 'tensors to a device, e.g. "exps=CPU"; may repeat',
      repeats: true,
    },
    (overrideTensors: readonly TensorOverride[]) => ({ overrideTensors }),
  ),
];

/** `auto`, a kind of GPU, or `off`. */
function parseGpu(text: string): GpuChoice {
  if (text === "off") return false;
  const choice = (["auto", ...GPU_KINDS] as const).find((kind) => kind === text);
  if (choice === undefined)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `"${text}" is no kind of GPU; write auto, ${GPU_KINDS.join(", ")} or off`,
    );
  return choice;
}

/** `exps=CPU`: what comes after the last `=` is the device, as the pattern may hold one too. */
export function parseOverride(text: string): TensorOverride {
  const [, pattern, device] = /^(.+)=([^=]+)$/.exec(text) ?? [];
  if (pattern === undefined || device === undefined)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `"${text}" places no tensor; write a pattern and a device, as in exps=CPU`,
    );
  return { pattern, device };
}
