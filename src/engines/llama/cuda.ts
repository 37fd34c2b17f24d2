import koffi from "koffi";

/** A CUDA backend as it was compiled. */
export interface CudaBuild {
  /** The toolkit's version as `cuDriverGetVersion` counts: 1000 * major + 10 * minor. */
  readonly toolkit: number;
  /** Compute capabilities (10 * major + minor) there is machine code for; the driver compiles PTX for the others. */
  readonly native: readonly number[];
}

/** What the installed NVIDIA driver says. */
export interface CudaDriver {
  /** Newest CUDA it supports, counted as in {@link CudaBuild}. */
  readonly version: number;
  /** Compute capabilities of the GPUs. */
  readonly devices: readonly number[];
}

/** `@node-llama-cpp/*-cuda` 3.22.1, and the fallback in `*-cuda-ext`, as `cuobjdump --list-elf --list-ptx` shows them. */
export const PREBUILT_CUDA: Readonly<Record<"main" | "fallback", CudaBuild>> = {
  main: { toolkit: 13010, native: [86, 89, 120, 121] },
  fallback: { toolkit: 12040, native: [86] },
};

/** `CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR` and `_MINOR`. */
const [MAJOR, MINOR] = [75, 76];
/** From here on llama.cpp compiles for one architecture each (`120a`), which runs on no other. */
const SPECIFIC = 120;

/** Ask the driver; `null`: there is none. Nothing is allocated on a GPU. */
export function cudaDriver(): CudaDriver | null {
  try {
    const library = koffi.load(process.platform === "win32" ? "nvcuda.dll" : "libcuda.so.1");
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

/**
 * Why a build cannot run with a driver, or `null`. To be asked before a build is used: the first kernel the driver
 * cannot compile makes ggml end the process.
 */
export function cudaRefusal({ toolkit, native }: CudaBuild, driver: CudaDriver | null): string | null {
  if (driver === null) return "there is no working NVIDIA driver";
  const foreign = driver.devices.find((device) => !native.some((code) => runs(code, device)));
  if (foreign === undefined || driver.version >= toolkit) return null;
  return (
    `for GPUs of compute capability ${dotted(foreign, 10)} this build needs a driver for CUDA ${ofVersion(toolkit)} or ` +
    `newer, and the installed one is for CUDA ${ofVersion(driver.version)}`
  );
}

/** Machine code runs on GPUs of the same major version from its own minor one on. */
function runs(code: number, device: number): boolean {
  if (code >= SPECIFIC) return code === device;
  return Math.floor(code / 10) === Math.floor(device / 10) && code <= device;
}

const dotted = (value: number, base: number) => `${Math.floor(value / base)}.${value % base}`;
const ofVersion = (version: number) => `${Math.floor(version / 1000)}.${Math.floor((version % 1000) / 10)}`;
