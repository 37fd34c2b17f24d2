import { EngineError, ModelError } from "../../../core/errors.ts";
import type { WorkerOptions } from "../host/protocol.ts";
import type { Llama } from "../native/bindings.ts";
import { addressOf } from "../native/native-memory.ts";
import type { Pointer } from "../native/pointers.ts";
import type { Placement } from "./device-placement.ts";

/** What helps when a GPU's memory is too small. */
export const ON_GPU = "fewer gpuLayers, cpuMoe, or gpu: false";

/** @throws ModelError or EngineError with what llama.cpp said. */
export function loadModel(
  llama: Llama,
  { params }: Placement,
  options: WorkerOptions,
  errors: readonly string[],
): Pointer {
  const model = llama.loadModel(options.path, {
    ...llama.modelDefaults(),
    ...params,
    // An abort ends the loading too: llama.cpp goes on while its progress callback says so.
    progress_callback: llama.isScalarAddress,
    progress_callback_user_data: addressOf(new Uint8Array(options.abort)),
  });
  if (model !== null) return model;
  const why = `llama.cpp could not load ${options.path}: ${reason(errors)}`;
  if (params.n_gpu_layers !== 0 && /alloc|memory/i.test(errors.join(" ")))
    throw new EngineError("OUT_OF_MEMORY", `${why}; if the GPU's memory is too small, use ${ON_GPU}`);
  throw new ModelError("MODEL_INVALID", why);
}

/** The first of what llama.cpp said. */
export function reason(errors: readonly string[]): string {
  const lines = errors.filter((line) => line.length > 0);
  return lines.length > 0 ? lines.slice(0, 3).join("; ") : "it gave no reason";
}
