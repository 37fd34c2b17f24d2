import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import koffi from "koffi";

/** A CUDA backend as it was compiled. */
export interface CudaBuild {
  /** The toolkit's version as `cuDriverGetVersion` counts: 1000 * major + 10 * minor. */
  readonly toolkit: number;
  /** Compute capabilities (10 * major + minor) there is machine code for; the driver compiles PTX for the others. */
  readonly native: readonly number[];
  /** Its runtime and cuBLAS, which the package does not hold. */
  readonly libraries: readonly string[];
}

/** What the installed NVIDIA driver says. */
export interface CudaDriver {
  /** Newest CUDA it supports, counted as in {@link CudaBuild}. */
  readonly version: number;
  /** Compute capabilities of the GPUs. */
  readonly devices: readonly number[];
}

/** What a machine has of NVIDIA's driver. */
export interface NvidiaDriver {
  /** Version of the loaded kernel module; `null`: none, or it cannot be seen (Windows, WSL). */
  readonly kernel: string | null;
  /** Whether the part that programs load, libcuda, is found. */
  readonly library: boolean;
  /** What it says when it works. */
  readonly cuda: CudaDriver | null;
}

/**
 * `@node-llama-cpp/linux-x64-cuda` 3.22.1, and the fallback in `-cuda-ext`. Read from the libraries: architectures
 * from the headers of the fat binaries in them, the toolkit from the `.version` of their PTX (ISA 9.1 is CUDA 13.1, 8.4
 * is 12.4), the rest from `readelf -d`. The builds for Windows are taken to be alike.
 */
export const PREBUILT_CUDA: Readonly<Record<"main" | "fallback", CudaBuild>> = {
  main: { toolkit: 13010, native: [86, 89, 120, 121], libraries: runtimeOf(13) },
  fallback: { toolkit: 12040, native: [86], libraries: runtimeOf(12) },
};

const DRIVER_LIBRARY = process.platform === "win32" ? "nvcuda.dll" : "libcuda.so.1";

function runtimeOf(major: number): string[] {
  return ["cudart", "cublas"].map((name) =>
    process.platform === "win32" ? `${name}64_${major}.dll` : `lib${name}.so.${major}`,
  );
}

/** `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `_MINOR`. */
const [MAJOR, MINOR] = [75, 76];
/** From here on llama.cpp compiles for one architecture each (`120a`), which runs on no other. */
const SPECIFIC = 120;

/** Ask the driver; `null`: there is none. Nothing is allocated on a GPU. */
function cudaDriver(): CudaDriver | null {
  try {
    const library = koffi.load(DRIVER_LIBRARY);
    const out = new Int32Array(32);
    const call = (name: string, ...types: string[]) => library.func(name, "int", types);
    if (call("cuInit", "uint")(0) !== 0) return null;
    const read = (code: number) => (code === 0 ? out[0]! : 0);
    const attribute = call("cuDeviceGetAttribute", "void *", "int", "int");
    const version = read(call("cuDriverGetVersion", "void *")(out));
    const count = read(call("cuDeviceGetCount", "void *")(out));
    const devices = Array.from(
      { length: count },
      (_, device) => 10 * read(attribute(out, MAJOR, device)) + read(attribute(out, MINOR, device)),
    );
    return { version, devices };
  } catch {
    return null;
  }
}

/** Look for NVIDIA's driver and ask it. */
export function nvidiaDriver(): NvidiaDriver {
  return { kernel: kernelModule(), library: loads(DRIVER_LIBRARY), cuda: cudaDriver() };
}

function kernelModule(): string | null {
  try {
    return kernelVersion(readFileSync("/proc/driver/nvidia/version", "utf8"));
  } catch {
    return null;
  }
}

/** The version in `/proc/driver/nvidia/version`; the words around it differ from driver to driver. */
export function kernelVersion(text: string): string | null {
  return /^NVRM version:.*?\s(\d+\.[\d.]+)\s/m.exec(text)?.[1] ?? null;
}

/** Why no GPU can be used whatever the build, and what to do; `null`: the driver works and has one. */
export function driverProblem({ kernel, library, cuda }: NvidiaDriver): string | null {
  if (cuda !== null)
    return cuda.devices.length > 0
      ? null
      : "NVIDIA's driver works and shows no GPU; is CUDA_VISIBLE_DEVICES set?";
  if (!library && kernel === null) return "there is no NVIDIA driver; install it";
  if (!library)
    return (
      `NVIDIA's kernel driver ${kernel} is loaded, but ${DRIVER_LIBRARY} is not found; in a container start it with ` +
      "NVIDIA's container toolkit (docker run --gpus all), else install the driver's libraries of that version"
    );
  return (
    `${DRIVER_LIBRARY} is there, but does not start${kernel === null ? "" : ` with kernel driver ${kernel}`}; nvidia-smi says why ` +
    "(no GPU, a driver that was updated without a restart, or a container without access to the GPU)"
  );
}

/** Those of a build's libraries that are found neither beside it nor by the system's loader, and what to do; or `null`. */
export function runtimeProblem(
  { toolkit, libraries }: CudaBuild,
  file: string,
  found: (library: string) => boolean = loads,
): string | null {
  const missing = libraries.filter((name) => !existsSync(join(dirname(file), name)) && !found(name));
  if (missing.length === 0) return null;
  const version = `${ofVersion(toolkit)}`;
  return (
    `${missing.join(" and ")} of CUDA ${Math.floor(toolkit / 1000)} not found; install CUDA's libraries (NVIDIA's package ` +
    `cuda-libraries-${version.replace(".", "-")}, or the toolkit ${version}), or name their folder in ${process.platform === "win32" ? "PATH" : "LD_LIBRARY_PATH"}`
  );
}

function loads(library: string): boolean {
  try {
    koffi.load(library).unload();
    return true;
  } catch {
    return false;
  }
}

/**
 * Why a build cannot run with a driver, or `null`. To be asked before a build is used: the first kernel the driver
 * cannot compile makes ggml end the process.
 */
export function cudaRefusal({ toolkit, native }: CudaBuild, driver: CudaDriver): string | null {
  const foreign = driver.devices.find((device) => !native.some((code) => runs(code, device)));
  if (foreign === undefined || driver.version >= toolkit) return null;
  return (
    `for GPUs of compute capability ${dotted(foreign, 10)} this build needs a driver for CUDA ${ofVersion(toolkit)} or ` +
    `newer, and the installed one is for CUDA ${ofVersion(driver.version)}; update the driver`
  );
}

/** Machine code runs on GPUs of the same major version from its own minor one on. */
function runs(code: number, device: number): boolean {
  if (code >= SPECIFIC) return code === device;
  return Math.floor(code / 10) === Math.floor(device / 10) && code <= device;
}

const dotted = (value: number, base: number) => `${Math.floor(value / base)}.${value % base}`;
const ofVersion = (version: number) => `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
