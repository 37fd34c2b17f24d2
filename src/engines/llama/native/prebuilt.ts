import { existsSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";

/** The prebuilt llama.cpp that moescope is written for: `@node-llama-cpp/*` of this version. */
export const packageVersion = "3.22.1";

/** What installs a platform package, in the version that fits. */
export function installCommand(name: string): string {
  return `npm install @node-llama-cpp/${name}@${packageVersion}`;
}

/**
 * Folder with the shared libraries of `@node-llama-cpp/<name>`, if it is installed beside moescope or in the project
 * in the current folder.
 *
 * @param binaries folder inside `bins/`, where it is not named like the package.
 */
export function packageFolder(name: string, binaries = name): string | null {
  for (const from of [import.meta.url, join(process.cwd(), "package.json")]) {
    try {
      // The package exports only its entry point, <root>/dist/index.js.
      const entry = createRequire(from).resolve(`@node-llama-cpp/${name}`);
      return join(dirname(dirname(entry)), "bins", binaries);
    } catch {
      // Not there; perhaps in the other place.
    }
  }
  return null;
}

/** Version of an installed package when it is not the one that fits, else `null`. */
export function otherVersion(folder: string): string | null {
  const manifest = join(folder, "..", "..", "package.json");
  if (!existsSync(manifest)) return null;
  const { version } = JSON.parse(readFileSync(manifest, "utf8")) as { version: string };
  return version === packageVersion ? null : version;
}
