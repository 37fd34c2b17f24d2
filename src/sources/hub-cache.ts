import { copyFile, link, mkdir, rename, rm, symlink, writeFile } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { filesBelow, readSmallFile } from "./local-files.ts";

/**
 * One repository in the standard Hugging Face cache, which Python's `huggingface_hub` and others share:
 *
 * ```
 * models--org--name/
 *   blobs/<etag>                   the bytes
 *   snapshots/<commit>/<file>  ->  ../../blobs/<etag>
 *   refs/<revision>                the commit that a branch or tag stood for
 * .locks/models--org--name/
 * ```
 */
export interface RepoCache {
  readonly folder: string;
  readonly locks: string;
}

/** A git commit, as the Hub writes it. */
export const COMMIT = /^[0-9a-f]{40}$/;

/** Folders inside a repository; far more than any has. */
const DEPTH = 8;

export function repoCache(cache: string, repo: string): RepoCache {
  const name = `models--${repo.replace("/", "--")}`;
  return { folder: join(cache, name), locks: join(cache, ".locks", name) };
}

export function blobPath({ folder }: RepoCache, etag: string): string {
  return join(folder, "blobs", etag);
}

export function snapshotPath({ folder }: RepoCache, commit: string, file = ""): string {
  return join(folder, "snapshots", commit, file);
}

/** The commit that a revision stood for when something was last downloaded; `null` when nothing was. */
export async function cachedCommit({ folder }: RepoCache, revision: string): Promise<string | null> {
  if (COMMIT.test(revision)) return revision;
  const commit = (await readSmallFile(join(folder, "refs", revision))).trim();
  return COMMIT.test(commit) ? commit : null;
}

/** The `.gguf` files of a commit that are in the cache. */
export async function cachedFiles(cache: RepoCache, commit: string): Promise<string[]> {
  const files = await filesBelow(snapshotPath(cache, commit), DEPTH);
  return files.filter((file) => /\.gguf$/i.test(file));
}

/** Remember which commit a branch or tag stands for. */
export async function writeRef({ folder }: RepoCache, revision: string, commit: string): Promise<void> {
  if (revision === commit) return;
  await replace(join(folder, "refs", revision), (path) => writeFile(path, commit));
}

/** Make `snapshots/<commit>/<file>` lead to a blob. */
export async function linkSnapshot(
  cache: RepoCache,
  commit: string,
  file: string,
  etag: string,
  makeLink: typeof symlink = symlink,
): Promise<void> {
  const pointer = snapshotPath(cache, commit, file);
  const blob = blobPath(cache, etag);
  await replace(pointer, async (path) => {
    try {
      // Relative, so that the cache can be moved.
      await makeLink(relative(dirname(pointer), blob), path);
    } catch {
      // Windows without developer mode and some network drives have no symbolic links; a hard link costs no space either.
      await link(blob, path).catch(() => copyFile(blob, path));
    }
  });
}

/** Make a file under a temporary name, then put it in its place at once: another process may be doing the same. */
async function replace(path: string, make: (temporary: string) => Promise<unknown>): Promise<void> {
  await mkdir(dirname(path), { recursive: true });
  const temporary = `${path}.${process.pid}.${performance.now()}.part`;
  try {
    await make(temporary);
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true });
    throw error;
  }
}
