import { GPU_KINDS, type GpuChoice } from "../../engines/llama/native/gpu.ts";
import type { TensorOverride } from "../../engines/llama/run/placement.ts";
import { UsageError } from "../usage-error.ts";

/** `auto`, a kind of GPU, or `off`. */
export function parseGpu(text: string): GpuChoice {
  if (text === "off") return false;
  const choice = (["auto", ...GPU_KINDS] as const).find((kind) => kind === text);
  if (choice === undefined)
    throw new UsageError(`"${text}" is no kind of GPU; write auto, ${GPU_KINDS.join(", ")} or off`);
  return choice;
}

/** `exps=CPU`: what comes after the last `=` is the device, as the pattern may hold one too. */
export function parseOverride(text: string): TensorOverride {
  const [, pattern, device] = /^(.+)=([^=]+)$/.exec(text) ?? [];
  if (pattern === undefined || device === undefined)
    throw new UsageError(`"${text}" places no tensor; write a pattern and a device, as in exps=CPU`);
  return { pattern, device };
}
