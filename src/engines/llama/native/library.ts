import { existsSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { EngineError } from "../../../core/errors.ts";
import { installCommand, packageFolder, packageVersion } from "./prebuilt.ts";

/** What `llama_version()` of that build says. Struct layouts in `bindings.ts` belong to it. */
export const LLAMA_VERSION = "v0.5.0";

/** Paths of the three shared libraries; the CPU kernels lie beside them and are picked by ggml itself. */
export interface LibraryFiles {
  readonly folder: string;
  readonly base: string;
  readonly ggml: string;
  readonly llama: string;
}

/**
 * Platform packages by `process.platform-process.arch`: those that exist in the version whose struct layouts
 * `bindings.ts` has, and that are optional dependencies of this package.
 */
const PACKAGES: Readonly<Record<string, string>> = {
  "linux-x64": "linux-x64",
  "linux-arm64": "linux-arm64",
};

/**
 * Find llama.cpp: the folder `MOESCOPE_LLAMA_DIR` if set, else the platform package npm installed.
 *
 * @throws EngineError `ENGINE_UNAVAILABLE`, saying what to install.
 */
export function findLibrary(
  env: NodeJS.ProcessEnv = process.env,
  platform = `${process.platform}-${process.arch}`,
): LibraryFiles {
  const own = env.MOESCOPE_LLAMA_DIR;
  if (own) return filesIn(own, `MOESCOPE_LLAMA_DIR (${own})`);
  const name = PACKAGES[platform];
  if (!name)
    throw new EngineError(
      "ENGINE_UNAVAILABLE",
      `there is no prebuilt llama.cpp ${LLAMA_VERSION} for ${platform}; build it as shared libraries (its source: npm pack ` +
        `node-llama-cpp@${packageVersion}, file llama/gitRelease.bundle; cmake -DBUILD_SHARED_LIBS=ON) and set ` +
        "MOESCOPE_LLAMA_DIR to the folder that holds them",
    );
  const bins = packageFolder(name);
  if (!bins)
    throw new EngineError(
      "ENGINE_UNAVAILABLE",
      `@node-llama-cpp/${name} is not installed (was npm run with --omit=optional?); run ` +
        `${installCommand(name)}, or set MOESCOPE_LLAMA_DIR`,
    );
  return filesIn(bins, `@node-llama-cpp/${name}`);
}

function filesIn(folder: string, where: string): LibraryFiles {
  if (!existsSync(folder)) throw new EngineError("ENGINE_UNAVAILABLE", `${where} does not exist`);
  const names = readdirSync(folder).sort();
  // libllama.so, libllama.v0.5.0.so, libllama.dylib, llama.dll; not libllama-common.so.
  const find = (stem: string): string => {
    const pattern = new RegExp(`^(lib)?${stem}(\\.[\\w.]+)?\\.(so|dylib|dll)$|^lib${stem}\\.so\\.[\\d.]+$`);
    const name = names.find((candidate) => pattern.test(candidate));
    if (name) return join(folder, name);
    throw new EngineError(
      "ENGINE_UNAVAILABLE",
      `${where} holds no ${stem} library; it should hold libllama, libggml and libggml-base of llama.cpp ${LLAMA_VERSION}`,
    );
  };
  return { folder, base: find("ggml-base"), ggml: find("ggml"), llama: find("llama") };
}
