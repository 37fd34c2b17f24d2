import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { join } from "node:path";
import { promisify } from "node:util";
import type typescript from "typescript";
import { packageRoot } from "../../src/core/package-root.ts";

const run = promisify(execFile);

/** The oldest TypeScript that can read the declarations, and what npm's registry says that its package is. */
const VERSION = "5.4.5";
const INTEGRITY =
  "sha512-vcI4UpRgg81oIRUFwR0WSIHKt11nJ7SAVlYNIu+QpqeyXP+gpQJy/Z4+F0aGxSE4MqwjyXvW/TzgkLAx2AGHwQ==";

/**
 * TypeScript 5.4, fetched into `.cache` once (6 MB). It is no dependency: a second `typescript` would take the name of
 * the command `tsc`.
 */
export async function oldTypescript(): Promise<typeof typescript> {
  const folder = join(packageRoot, ".cache", `typescript-${VERSION}`);
  if (!existsSync(folder)) await fetchInto(folder);
  return createRequire(import.meta.url)(join(folder, "package", "lib", "typescript.js"));
}

async function fetchInto(folder: string): Promise<void> {
  await mkdir(join(packageRoot, ".cache"), { recursive: true });
  // Renamed when it is whole: an interrupted run leaves nothing that looks usable.
  const draft = await mkdtemp(`${folder}.`);
  try {
    const { stdout } = await run("npm", [
      "pack",
      `typescript@${VERSION}`,
      "--json",
      "--pack-destination",
      draft,
    ]);
    const [{ filename }] = JSON.parse(stdout);
    const archive = join(draft, filename);
    await assertIntegrity(archive);
    await run("tar", ["xzf", archive, "-C", draft]);
    await rm(archive);
    await rename(draft, folder);
  } finally {
    await rm(draft, { recursive: true, force: true });
  }
}

async function assertIntegrity(archive: string): Promise<void> {
  const digest = await crypto.subtle.digest("SHA-512", await readFile(archive));
  const found = `sha512-${Buffer.from(digest).toString("base64")}`;
  if (found !== INTEGRITY) throw new Error(`typescript ${VERSION} is not the package it should be: ${found}`);
}
