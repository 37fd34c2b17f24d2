import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const found = findPackage(dirname(fileURLToPath(import.meta.url)));

/** moescope's own folder, from the sources as well as from the bundle. */
export const packageRoot = found.folder;
export const packageVersion = found.version;

function findPackage(folder: string): { readonly folder: string; readonly version: string } {
  const version = versionIn(folder);
  if (version !== null) return { folder, version };
  const parent = dirname(folder);
  if (parent === folder) throw new Error("moescope's package.json is missing: install moescope again");
  return findPackage(parent);
}

function versionIn(folder: string): string | null {
  try {
    const content = JSON.parse(readFileSync(join(folder, "package.json"), "utf8"));
    return content.name === "moescope" ? content.version : null;
  } catch {
    // Most folders on the way up have none.
    return null;
  }
}
