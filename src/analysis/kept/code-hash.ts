import { createHash } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { packageRoot, packageVersion } from "../../core/package-root.ts";

let known: Promise<string> | undefined;

/** The version of moescope and a hash of its code: what is computed by another is computed anew. */
export const codeHash = (): Promise<string> => {
  known ??= hashOf(join(packageRoot, "dist"));
  return known;
};

async function hashOf(folder: string): Promise<string> {
  const hash = createHash("sha256").update(packageVersion);
  const names = await readdir(folder, { recursive: true }).catch(() => []);
  for (const name of names.filter((file) => file.endsWith(".js")).sort())
    hash.update(name).update(await readFile(join(folder, name)));
  return hash.digest("hex");
}
