import { existsSync } from "node:fs";
import { join } from "node:path";
import { EngineError, RequestError } from "../../../core/errors.ts";
import { installCommand, otherVersion, packageFolder } from "./prebuilt.ts";

/** How llama.cpp can reach a GPU. */
export const GPU_KINDS = ["cuda", "vulkan", "metal"] as const;
/**
 * What llama.cpp can reach a GPU with.
 *
 * @useDeclaredType
 */
export type GpuKind = (typeof GPU_KINDS)[number];

/**
 * - `auto`: the first kind that is installed and finds a device, else the CPU;
 * - a kind: that one, or an error that says what is missing;
 * - `false`: the CPU alone.
 */
export type GpuChoice = "auto" | GpuKind | false;

/** The shared libraries that bring a kind of GPU, to be loaded into the CPU build of the same version. */
export interface GpuLibrary {
  readonly kind: GpuKind;
  /** To be tried in this order; empty: it comes with llama.cpp itself. */
  readonly files: readonly string[];
}

/**
 * Packages of `@node-llama-cpp` with a GPU backend, by platform and kind. Beside the backend they hold a second copy of
 * the whole CPU build, which stays unused: one process should not load two. Where there is no package, Metal among them, a
 * build of one's own brings its backends along (MOESCOPE_LLAMA_DIR).
 */
const PACKAGES: Readonly<Record<string, Partial<Record<GpuKind, string>>>> = {
  "linux-x64": { cuda: "linux-x64-cuda", vulkan: "linux-x64-vulkan" },
};

const PLATFORM = `${process.platform}-${process.arch}`;

/** The package that brings a kind of GPU to a platform, if there is one. */
export function gpuPackage(kind: GpuKind, platform = PLATFORM): string | null {
  return PACKAGES[platform]?.[kind] ?? null;
}

/**
 * The GPU libraries to try for a choice, best first. Only looks for files: nothing is loaded.
 *
 * @throws EngineError `ENGINE_UNAVAILABLE` when a kind was asked for by name and is not installed;
 * `ENGINE_INCOMPATIBLE` when it is installed in another version.
 */
export function findGpuLibraries(gpu: GpuChoice, env: NodeJS.ProcessEnv = process.env): GpuLibrary[] {
  if (gpu === false) return [];
  if (gpu !== "auto" && !GPU_KINDS.includes(gpu))
    throw new RequestError(
      "INVALID_ARGUMENT",
      `unknown gpu "${gpu}"; it is "auto", ${GPU_KINDS.map((kind) => `"${kind}"`).join(", ")} or false`,
    );
  const kinds = gpu === "auto" ? GPU_KINDS : [gpu];
  // A folder of one's own holds the backends one wants.
  if (env.MOESCOPE_LLAMA_DIR) return kinds.map((kind) => ({ kind, files: [] }));
  return kinds.flatMap((kind): GpuLibrary[] => {
    const name = gpuPackage(kind);
    if (name === null) {
      if (gpu === "auto") return [];
      throw new EngineError(
        "ENGINE_UNAVAILABLE",
        `there is no prebuilt llama.cpp with ${kind} for ${PLATFORM}; use gpu: "auto" or false, or set MOESCOPE_LLAMA_DIR ` +
          "to a build of your own",
      );
    }
    const folder = packageFolder(name);
    const version = folder === null ? null : otherVersion(folder);
    if (folder !== null && version === null) return [{ kind, files: backendFiles(kind, name, folder) }];
    // Another version is there for somebody else, node-llama-cpp perhaps.
    if (gpu === "auto") return [];
    throw version === null
      ? new EngineError("ENGINE_UNAVAILABLE", `gpu "${kind}" is not installed; run ${installCommand(name)}`)
      : new EngineError(
          "ENGINE_INCOMPATIBLE",
          `@node-llama-cpp/${name} is version ${version}, which does not fit this moescope; run ${installCommand(name)}`,
        );
  });
}

function backendFiles(kind: GpuKind, name: string, folder: string): string[] {
  const file = process.platform === "win32" ? `ggml-${kind}.dll` : `libggml-${kind}.so`;
  // For machines on which the first build finds no device there is a second one, of CUDA in a package of its own.
  const more = packageFolder(`${name}-ext`, name);
  return [folder, join(folder, "fallback"), ...(more ? [join(more, "fallback")] : [])]
    .map((place) => join(place, file))
    .filter((path) => existsSync(path));
}
