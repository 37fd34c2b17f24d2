import { RequestError } from "../../../core/errors.ts";
import { EXPERTS } from "../model/expert-tensors.ts";
import type { Llama, ModelParams } from "../native/bindings.ts";
import { PointerList } from "../native/device-bindings.ts";
import { listDevices, type NativeDevice } from "../native/devices.ts";

/** Where tensors of the model go that would lie elsewhere by default. */
export interface TensorOverride {
  /** Regular expression (as `std::regex` understands it) that is looked for in a tensor's name. */
  readonly pattern: string;
  /** Name of the memory, as llama.cpp's `--override-tensor` takes it: `CPU`, `CUDA0`, `Vulkan1` ... */
  readonly device: string;
}

/** What the user says of where the model lies. */
export interface PlacementOptions {
  /** Layers on the GPU, counted from the last, and one more for the output; `null`: all. */
  readonly gpuLayers: number | null;
  readonly overrides: readonly TensorOverride[];
}

/** Model parameters, and the memory they point to, which is to live as long as the model. */
export interface Placement {
  readonly params: Partial<ModelParams>;
  readonly lists: readonly PointerList[];
}

/** As `--cpu-moe` (true: all layers) and `--n-cpu-moe` (the first n) of llama.cpp's command line. */
export function cpuMoeOverrides(cpuMoe: boolean | number): TensorOverride[] {
  if (cpuMoe === true) return [{ pattern: EXPERTS, device: "CPU" }];
  return Array.from({ length: Number(cpuMoe) }, (_, layer) => ({
    pattern: `blk\\.${layer}${EXPERTS}`,
    device: "CPU",
  }));
}

/**
 * The model parameters that say what lies where. Without GPUs the list of devices is empty, which keeps out those
 * that a build brings along or that another model in this process has loaded.
 *
 * @throws RequestError for an unknown device.
 */
export function placementOf(
  llama: Llama,
  gpus: readonly NativeDevice[],
  { gpuLayers, overrides }: PlacementOptions,
): Placement {
  const devices = new PointerList(gpus.length);
  for (const { pointer } of gpus) devices.add(pointer);
  const list = new PointerList(2 * overrides.length, 2);
  const types = bufferTypes(llama, gpus);
  for (const { pattern, device } of overrides) {
    const type = types.get(device);
    if (type === undefined)
      throw new RequestError(
        "INVALID_ARGUMENT",
        `there is no device "${device}" for the tensors ${pattern}; the devices are ${[...types.keys()].join(", ")}`,
      );
    list.addText(pattern);
    list.add(type);
  }
  return {
    params: {
      devices: devices.address,
      tensor_buft_overrides: overrides.length > 0 ? list.address : null,
      n_gpu_layers: gpus.length > 0 ? (gpuLayers ?? -1) : 0,
    },
    lists: [devices, list],
  };
}

function bufferTypes(llama: Llama, gpus: readonly NativeDevice[]): Map<string, number> {
  const cpus = listDevices(llama).filter(({ type }) => type === "cpu");
  return new Map([...cpus, ...gpus].map(({ bufferName, bufferType }) => [bufferName, bufferType]));
}
