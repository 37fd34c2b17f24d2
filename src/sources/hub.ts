import { ModelError } from "../core/errors.ts";
import {
  blobPath,
  COMMIT,
  cachedCommit,
  cachedFiles,
  linkSnapshot,
  type RepoCache,
  repoCache,
  snapshotPath,
  writeRef,
} from "./hub-cache.ts";
import { downloadBlob, incompletePath } from "./hub-download.ts";
import { listRepository, type RemoteFile } from "./hub-listing.ts";
import type { HubSession } from "./hub-request.ts";
import { type HubSettings, hubSettings } from "./hub-settings.ts";
import { sizeOf } from "./local-files.ts";
import { pickModel } from "./pick-model.ts";
import type { HubReference } from "./reference.ts";
import type { ResolvedModel, ResolveOptions } from "./resolved-model.ts";
import { freeBytes, storageError } from "./storage-error.ts";

export interface HubOptions extends ResolveOptions {
  readonly env: NodeJS.ProcessEnv;
  readonly home: string;
  /** For tests that do not want to wait between tries. */
  readonly wait?: (ms: number) => Promise<void>;
  /** For tests with a server that falls silent. */
  readonly silenceMs?: number;
  /** For tests with a full disk. */
  readonly freeBytes?: (folder: string) => Promise<number>;
}

/**
 * Find a model of the Hugging Face Hub in the standard cache, downloading what is not there.
 *
 * The Hub is asked what the revision stands for now, as Python's `huggingface_hub` does; when it cannot be reached and
 * the cache has the model, that is taken. A commit that is in the cache needs no question.
 *
 * @throws ModelError `MODEL_NOT_FOUND`, `MODEL_INVALID` or `MODEL_DOWNLOAD_FAILED`; RequestError for settings that cannot
 * be; the signal's reason when it was aborted.
 */
export async function resolveHubModel(reference: HubReference, options: HubOptions): Promise<ResolvedModel> {
  const settings = await hubSettings(options.env, options.home);
  const { repo, revision } = reference;
  const cache = repoCache(settings.cache, repo);
  if (settings.offline) return requireCached(cache, reference, settings);
  const cached = await cachedModel(cache, reference).catch(() => null);
  const named = reference.file !== undefined || reference.quant !== undefined;
  if (cached && named && COMMIT.test(revision)) return cached;

  const session: HubSession = {
    settings,
    repo,
    revision,
    fetch: options.fetch ?? fetch,
    signal: options.signal,
    wait: options.wait,
    silenceMs: options.silenceMs,
  };
  // With an answer at hand, a Hub that is down should not cost more than one try.
  const listing = await listRepository(session, cached ? 1 : undefined).catch((error) => {
    if (cached && error instanceof ModelError && error.retryable) return null;
    throw error;
  });
  if (!listing) return cached!;

  const names = pickModel(
    listing.files.map(({ path }) => path),
    reference,
    place(reference),
  );
  const parts = names.map((name) => listing.files.find(({ path }) => path === name)!);
  await downloadParts(session, cache, listing.commit, parts, options);
  return resolved(cache, reference, listing.commit, names[0]!);
}

function place({ repo, revision }: HubReference): string {
  // As the reference's grammar writes it: a slash in a revision is escaped.
  return `hf:${repo}${revision === "main" ? "" : `@${encodeURIComponent(revision)}`}`;
}

function resolved(cache: RepoCache, reference: HubReference, commit: string, file: string): ResolvedModel {
  return { path: snapshotPath(cache, commit, file), source: `${place(reference)}/${file}` };
}

/** @throws ModelError when the cache has the commit, but no or several models that fit. */
async function cachedModel(cache: RepoCache, reference: HubReference): Promise<ResolvedModel | null> {
  const commit = await cachedCommit(cache, reference.revision);
  const files = commit ? await cachedFiles(cache, commit) : [];
  if (!commit || files.length === 0) return null;
  return resolved(
    cache,
    reference,
    commit,
    pickModel(files, reference, `${place(reference)} in the cache`)[0]!,
  );
}

async function requireCached(
  cache: RepoCache,
  reference: HubReference,
  settings: HubSettings,
): Promise<ResolvedModel> {
  const cached = await cachedModel(cache, reference).catch((cause) => {
    throw new ModelError("MODEL_NOT_FOUND", `${cause.message}. HF_HUB_OFFLINE is set: unset it to download`, {
      cause,
    });
  });
  if (cached) return cached;
  throw new ModelError(
    "MODEL_NOT_FOUND",
    `${place(reference)} is not in the cache ${settings.cache}, and HF_HUB_OFFLINE is set: unset it to download, or set HF_HOME to the cache that has it`,
  );
}

async function downloadParts(
  session: HubSession,
  cache: RepoCache,
  commit: string,
  parts: readonly RemoteFile[],
  options: HubOptions,
): Promise<void> {
  const missing: RemoteFile[] = [];
  for (const part of parts)
    if ((await sizeOf(snapshotPath(cache, commit, part.path))) !== part.size) missing.push(part);
  await checkSpace(cache, missing, options.freeBytes ?? freeBytes);
  const total = sum(parts.map(({ size }) => size));
  let here = total - sum(missing.map(({ size }) => size));
  try {
    for (const part of missing) {
      const { path, size, etag } = part;
      // The same bytes may be here already, from another commit or under another name.
      if ((await sizeOf(blobPath(cache, etag))) !== size)
        await downloadBlob(session, cache, commit, part, (bytes) =>
          options.onProgress?.({ file: path, bytes: here + bytes, total }),
        );
      await linkSnapshot(cache, commit, path, etag);
      here += size;
    }
    await writeRef(cache, session.revision, commit);
  } catch (error) {
    throw storageError(error, cache.folder);
  }
}

/** @throws ModelError before a download that would fill the disk. */
async function checkSpace(
  cache: RepoCache,
  files: readonly RemoteFile[],
  free: (folder: string) => Promise<number>,
): Promise<void> {
  let needed = 0;
  for (const file of files) {
    if ((await sizeOf(blobPath(cache, file.etag))) === file.size) continue;
    needed += Math.max(0, file.size - ((await sizeOf(incompletePath(cache, file))) ?? 0));
  }
  if (needed === 0) return;
  const available = await free(cache.folder);
  if (available < needed)
    throw new ModelError(
      "MODEL_DOWNLOAD_FAILED",
      `${gigabytes(needed)} are to be downloaded and ${gigabytes(available)} are free in ${cache.folder}: free space, set HF_HOME to another disk, or take a smaller quantisation`,
      { retryable: true },
    );
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function gigabytes(bytes: number): string {
  return bytes < 1e8 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`;
}
