import { createHash } from "node:crypto";
import { readdir, realpath, stat } from "node:fs/promises";
import { basename, join, relative, sep } from "node:path";
import { JOURNAL_FILE } from "../../capture/folder/journal.ts";
import { MANIFEST_FILE, readManifest } from "../../capture/folder/manifest.ts";
import { CaptureError } from "../../core/errors.ts";

/** A folder whose captures are served. */
export interface Root {
  /** Absolute and without symbolic links: what lies in it is what is readable. */
  readonly path: string;
  readonly origin: "folder" | "recording";
}

/** Where a capture is. Its id is a name and a hash: nothing a client sends is ever part of a path. */
export interface FoundCapture {
  readonly id: string;
  readonly folder: string;
  readonly root: Root;
  /** Path below the root, for people. */
  readonly name: string;
  /** Changes with every change of the manifest, and of the journal in which it goes on. */
  readonly version: string;
}

/** Folders below a root that are looked at: a tree of runs by model and date, not a home folder. */
const MAX_DEPTH = 3;
const MAX_FOLDERS = 10_000;

/** The capture folders of the roots, by name. Symbolic links are not followed. */
export async function findCaptures(roots: readonly Root[]): Promise<FoundCapture[]> {
  const found: FoundCapture[] = [];
  let looked = 0;
  const visit = async (root: Root, folder: string, depth: number): Promise<void> => {
    if (++looked > MAX_FOLDERS) return;
    const version = await versionOf(folder);
    if (version !== null) {
      found.push({ id: idOf(folder), folder, root, name: nameOf(root, folder), version });
      return;
    }
    if (depth === MAX_DEPTH) return;
    // A folder that cannot be listed has nothing to offer.
    const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
    for (const entry of entries)
      if (entry.isDirectory() && !entry.name.startsWith(".") && entry.name !== "node_modules")
        await visit(root, join(folder, entry.name), depth + 1);
  };
  for (const root of roots) await visit(root, root.path, 0);
  return found.sort((a, b) => (a.name < b.name ? -1 : 1));
}

/** A capture by its folder, or `null` where there is none or it lies in no root. */
export async function findCapture(roots: readonly Root[], folder: string): Promise<FoundCapture | null> {
  const root = roots.find(({ path }) => folder === path || folder.startsWith(path + sep));
  const version = await versionOf(folder);
  return root && version !== null
    ? { id: idOf(folder), folder, root, name: nameOf(root, folder), version }
    : null;
}

/** Time and size of the manifest and its journal, or `null` where there is no manifest. */
export async function versionOf(folder: string): Promise<string | null> {
  const [manifest, journal] = await Promise.all(
    [MANIFEST_FILE, JOURNAL_FILE].map((file) => stat(join(folder, file)).catch(() => null)),
  );
  if (!manifest?.isFile()) return null;
  return [manifest, ...(journal ? [journal] : [])]
    .map(({ mtimeMs, size }) => `${Math.round(mtimeMs * 1000).toString(36)}-${size.toString(36)}`)
    .join("-");
}

/**
 * Check that every file a capture consists of lies in its root, wherever links lead.
 *
 * @throws CaptureError `CAPTURE_INVALID` naming the file that does not.
 */
export async function assertContained(folder: string, root: Root): Promise<void> {
  for (const file of [MANIFEST_FILE, JOURNAL_FILE]) await assertInside(join(folder, file), root);
  const { shards, embeddings } = await readManifest(folder);
  for (const file of [...shards.flatMap(({ files }) => Object.values(files)), ...(embeddings?.files ?? [])])
    await assertInside(join(folder, file), root);
}

async function assertInside(file: string, root: Root): Promise<void> {
  const real = await realpath(file).catch(() => null);
  // One that is missing is reported when the capture is opened.
  if (real === null || real.startsWith(root.path.endsWith(sep) ? root.path : root.path + sep)) return;
  throw new CaptureError(
    "CAPTURE_INVALID",
    `${file} is a link to a place outside of the folders that are served; copy the file there`,
  );
}

function idOf(folder: string): string {
  const slug = basename(folder)
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, "-")
    .replace(/^-|-$/g, "")
    .slice(0, 40);
  const hash = createHash("sha256").update(folder).digest("hex").slice(0, 10);
  return slug === "" ? hash : `${slug}-${hash}`;
}

const nameOf = (root: Root, folder: string) =>
  folder === root.path ? basename(folder) : relative(root.path, folder);
