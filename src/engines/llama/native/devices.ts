import { basename, dirname } from "node:path";
import { EngineError } from "../../../core/errors.ts";
import type { Llama } from "./bindings.ts";
import { cudaRefusal, driverProblem, nvidiaDriver, PREBUILT_CUDA, runtimeProblem } from "./cuda.ts";
import { type BufferTypePointer, DEVICE_TYPE } from "./device-bindings.ts";
import type { GpuChoice, GpuKind, GpuLibrary } from "./gpu.ts";
import type { Pointer } from "./pointers.ts";

/** Something that computes. */
export interface Device {
  /** ggml's name, e.g. `CPU`, `CUDA0`, `Vulkan0`. */
  readonly name: string;
  /** The maker's name of it. */
  readonly description: string;
  /** `igpu`: a GPU that shares the CPU's memory; `accel`: helps the CPU (BLAS, AMX). */
  readonly type: (typeof DEVICE_TYPE)[number];
  /** Bytes; 0 where the driver does not say. */
  readonly memory: { readonly free: number; readonly total: number };
}

/** A device with what native code knows it by. */
export interface NativeDevice extends Device {
  readonly pointer: Pointer;
  /** `CPU`, `CUDA`, `Vulkan`, `MTL` ... */
  readonly backend: string;
  /** The memory its tensors lie in by default, and ggml's name of it, which `-ot` takes. */
  readonly bufferType: BufferTypePointer;
  readonly bufferName: string;
}

/** ggml's names of the backends of a kind; ROCm and MUSA are CUDA's code compiled for other makers. */
const BACKENDS: Readonly<Record<GpuKind, readonly string[]>> = {
  cuda: ["CUDA", "ROCm", "MUSA"],
  vulkan: ["Vulkan"],
  metal: ["MTL"],
};

/** The devices of all backends that have been loaded so far in this process. */
export function listDevices(llama: Llama): NativeDevice[] {
  return Array.from({ length: llama.deviceCount() }, (_, index) => {
    const pointer = llama.device(index);
    const [free, total] = [new BigUint64Array(1), new BigUint64Array(1)];
    llama.deviceMemory(pointer, free, total);
    const bufferType = llama.deviceBufferType(pointer);
    return {
      pointer,
      name: llama.deviceName(pointer),
      description: llama.deviceDescription(pointer).trim(),
      type: DEVICE_TYPE[llama.deviceType(pointer)] ?? "accel",
      memory: { free: Number(free[0]), total: Number(total[0]) },
      backend: llama.backendName(llama.deviceBackend(pointer)),
      bufferType,
      bufferName: bufferType === 0 ? "" : llama.bufferTypeName(bufferType),
    };
  });
}

/**
 * Load the first of the GPU libraries that finds a device.
 *
 * @param reasons what llama.cpp logged so far as errors; read when there is no device.
 * @returns the GPUs to use, discrete ones if there are any; none: the CPU alone.
 * @throws EngineError `ENGINE_UNAVAILABLE` when a kind was asked for by name and finds no device.
 */
export function loadGpus(
  llama: Llama,
  choice: GpuChoice,
  libraries: readonly GpuLibrary[],
  reasons: readonly string[],
): NativeDevice[] {
  const refusals: string[] = [];
  for (const { kind, files } of libraries) {
    const gpus = loadKind(llama, kind, kind === "cuda" ? runnable(files, refusals) : files);
    if (gpus.length > 0) return gpus;
  }
  if (choice === "auto" || choice === false) return [];
  if (refusals.length > 0)
    throw new EngineError(
      "ENGINE_UNAVAILABLE",
      `gpu "${choice}" is installed and cannot be used: ${refusals.join("; or: ")}`,
    );
  throw new EngineError(
    "ENGINE_UNAVAILABLE",
    `gpu "${choice}" is installed and finds no device${reasons.length > 0 ? ` (${reasons.join("; ")})` : ""}; ` +
      "is the driver installed? moescope doctor shows what works",
  );
}

/** The builds of CUDA that this machine can run; why not, for the others. */
function runnable(files: readonly string[], refusals: string[]): string[] {
  if (files.length === 0) return [];
  const driver = nvidiaDriver();
  const problem = driverProblem(driver);
  if (problem !== null || driver.cuda === null) {
    if (problem !== null) refusals.push(problem);
    return [];
  }
  const { cuda } = driver;
  const old = (file: string) => basename(dirname(file)) === "fallback";
  const fit = files.filter((file) => {
    const build = PREBUILT_CUDA[old(file) ? "fallback" : "main"];
    const refusal = cudaRefusal(build, cuda) ?? runtimeProblem(build, file);
    if (refusal !== null) refusals.push(refusal);
    return refusal === null;
  });
  if (fit.length === 0 && !files.some(old))
    refusals.push(
      "install the -cuda-ext package of the same version, which is for older drivers and CUDA 12",
    );
  return fit;
}

function loadKind(llama: Llama, kind: GpuKind, files: readonly string[]): NativeDevice[] {
  for (let next = 0; ; next++) {
    const all = listDevices(llama).filter(({ backend }) => BACKENDS[kind].includes(backend));
    const gpus = all.filter(({ type }) => type === "gpu");
    const found = gpus.length > 0 ? gpus : all.filter(({ type }) => type === "igpu");
    if (found.length > 0 || next >= files.length) return found;
    llama.loadBackend(files[next]!);
  }
}
