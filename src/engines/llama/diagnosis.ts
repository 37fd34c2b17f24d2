import { existsSync } from "node:fs";
import { basename } from "node:path";
import { type NvidiaDriver, nvidiaDriver } from "./native/cuda.ts";
import { type Device, listDevices, loadGpus } from "./native/devices.ts";
import { findGpuLibraries, GPU_KINDS, type GpuKind, gpuPackage } from "./native/gpu.ts";
import { findLibrary } from "./native/library.ts";
import { openLlama } from "./native/open-llama.ts";
import { installCommand, packageFolder } from "./native/prebuilt.ts";

/** How it stands with one kind of GPU. */
export interface GpuDiagnosis {
  readonly kind: GpuKind;
  /** The driver of such a GPU, where it can be seen without the package. */
  readonly driver: string | null;
  /** What would install it here; `null`: there is no prebuilt one for this platform, or it comes along. */
  readonly install: string | null;
  readonly installed: boolean;
  readonly devices: readonly Device[];
  /** Why an installed one finds no device. */
  readonly problem: string | null;
}

/** How it stands with the embedded llama.cpp. */
export interface LlamaDiagnosis {
  /** Folder of the shared libraries, and what they say they are; `null`: none that fits. */
  readonly folder: string | null;
  readonly version: string | null;
  /** Why there is none that fits, and what to do. */
  readonly problem: string | null;
  /** The CPU and what helps it. */
  readonly devices: readonly Device[];
  /** The variant of the CPU kernels that llama.cpp chose for this processor, e.g. `ggml-cpu-haswell`. */
  readonly kernels: string | null;
  readonly gpus: readonly GpuDiagnosis[];
}

/** Load llama.cpp and every GPU backend that is installed, and ask them for their devices. No model is loaded. */
export function diagnoseLlama(): LlamaDiagnosis {
  let folder: string | null = null;
  try {
    const files = findLibrary();
    folder = files.folder;
    const llama = openLlama(files);
    const errors: string[] = [];
    const log = llama.registerLog((level, text) => {
      // `ggml_log_level`: 4 is an error, 5 continues the line before.
      if (level >= 4) errors.push(text.trim());
    });
    llama.setLog(log, null);
    try {
      llama.loadBackends(folder);
      llama.backendInit();
      const devices = listDevices(llama).filter(({ type }) => type === "cpu" || type === "accel");
      const gpus = GPU_KINDS.map((kind) => {
        errors.length = 0;
        return diagnoseGpu(kind, () => loadGpus(llama, kind, findGpuLibraries(kind), errors));
      });
      return {
        folder,
        version: llama.version(),
        problem: null,
        devices: devices.map(plain),
        kernels: loadedKernels(),
        gpus,
      };
    } finally {
      llama.setLog(llama.silentLog, null);
      llama.unregister(log);
    }
  } catch (error) {
    return { folder, version: null, problem: (error as Error).message, devices: [], kernels: null, gpus: [] };
  }
}

function diagnoseGpu(kind: GpuKind, find: () => readonly Device[]): GpuDiagnosis {
  const name = gpuPackage(kind);
  const own = process.env.MOESCOPE_LLAMA_DIR !== undefined;
  const folder = name === null ? null : packageFolder(name);
  const installed = folder !== null && existsSync(folder);
  const install = name === null || own ? null : installCommand(name);
  const driver = kind === "cuda" && !own ? driverName(nvidiaDriver()) : null;
  const facts = { kind, driver, install, installed };
  if (!installed && !own) return { ...facts, devices: [], problem: null };
  try {
    return { ...facts, devices: find().map(plain), problem: null };
  } catch (error) {
    // A folder of one's own need not hold every kind.
    return { ...facts, devices: [], problem: installed ? (error as Error).message : null };
  }
}

function driverName({ kernel, library }: NvidiaDriver): string | null {
  if (kernel !== null) return `NVIDIA driver ${kernel}`;
  return library ? "an NVIDIA driver" : null;
}

/** llama.cpp has a kernel library for each generation of processors, tries all, and keeps the best that runs. */
function loadedKernels(): string | null {
  const { report } = process;
  // Names of the network's interfaces are looked up otherwise, which can take seconds.
  if (report && "excludeNetwork" in report) report.excludeNetwork = true;
  const { sharedObjects } = (report?.getReport() ?? {}) as { sharedObjects?: readonly string[] };
  return kernelsAmong(sharedObjects ?? []);
}

/** The library of CPU kernels among the paths of loaded libraries, without what the system adds to its name. */
export function kernelsAmong(sharedObjects: readonly string[]): string | null {
  const names = sharedObjects.map((path) => /^(?:lib)?(ggml-cpu[\w-]*)\./.exec(basename(path))?.[1]);
  return names.find((name) => name !== undefined) ?? null;
}

/** Without what only native code understands. */
const plain = ({ name, description, type, memory }: Device): Device => ({ name, description, type, memory });
