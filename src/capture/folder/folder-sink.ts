import { readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { CaptureError } from "../../core/errors.ts";
import type { RunHeader } from "../../core/sink.ts";
import { storageError, type WriteBytes } from "../../formats/atomic-file.ts";
import { assertDiskFits } from "./assert-disk-fits.ts";
import { type FolderLock, LOCK_FILE, lockFolder, writerOf } from "./folder-lock.ts";
import type { FolderOptions } from "./folder-options.ts";
import { makeFolder } from "./make-folder.ts";
import { MANIFEST_FILE, type Manifest, readManifest } from "./manifest.ts";
import { newManifest } from "./new-manifest.ts";
import { PROMPTS_FILE, writePromptTokens } from "./prompt-tokens.ts";
import { ShardSink } from "./shard-sink.ts";
import type { OpenFolder } from "./shard-writer.ts";

const DEFAULT_SHARD_BYTES = 32 * 2 ** 20;

/**
 * Streams a run into a capture folder, shard by shard; `close` opens it as a capture. At any moment the folder
 * opens with all finished shards; see {@link openCapture}. A run that was killed can be continued:
 * `LanguageModel.resume`.
 *
 * @throws CaptureError `CAPTURE_EXISTS` when the folder holds something, `CAPTURE_IN_USE` while another run writes to
 * it, `STORAGE_FAILED` when it cannot be written: the shards before are then kept;
 * RequestError `CAPTURE_TOO_LARGE` before any of it, when the disk has no room for the run's rows.
 */
export class FolderSink extends ShardSink {
  readonly #folder: string;
  readonly #dtype: NonNullable<FolderOptions["dtype"]>;
  readonly #shardBytes: number;
  readonly #write: WriteBytes | undefined;

  /** @param write replaces the writing of bytes: for tests that fill the disk. */
  constructor(folder: string, options: FolderOptions = {}, write?: WriteBytes) {
    super();
    this.#folder = folder;
    this.#dtype = options.dtype ?? "float32";
    this.#shardBytes = options.shardBytes ?? DEFAULT_SHARD_BYTES;
    this.#write = write;
  }

  protected async claim(header: RunHeader): Promise<FolderLock> {
    await assertDiskFits(this.#folder, header, this.#manifest(header, null).streams);
    return claimFolder(this.#folder);
  }

  #manifest(header: RunHeader, modelSha256: string | null): Manifest {
    return newManifest(header, { dtype: this.#dtype, shardBytes: this.#shardBytes, modelSha256 });
  }

  protected async prepare(header: RunHeader): Promise<Omit<OpenFolder, "lock">> {
    const { request } = header;
    const [folder, shardBytes, write] = [this.#folder, this.#shardBytes, this.#write];
    const modelSha256 = (await request?.modelHash()) ?? null;
    const manifest = this.#manifest(header, modelSha256);
    if (request) await writePromptTokens(folder, request.prompts, write);
    return { folder, manifest, shardBytes, write, tokens: new Map(), outputs: [] };
  }
}

/** What a run leaves in its folder that is killed before the first manifest. */
const BEFORE_MANIFEST = new Set([LOCK_FILE, PROMPTS_FILE, `.${PROMPTS_FILE}.part`, `.${MANIFEST_FILE}.part`]);

/** Make the folder, or take one that is empty. */
async function claimFolder(folder: string): Promise<FolderLock> {
  await makeFolder(resolve(folder)).catch((cause) => {
    throw storageError(folder, cause);
  });
  if (!(await isFree(folder))) throw await refusal(folder);
  const lock = await lockFolder(folder);
  // Another run may have begun and ended since the first look.
  if (await isFree(folder)) return lock;
  await lock.release();
  throw await refusal(folder);
}

async function isFree(folder: string): Promise<boolean> {
  const entries = await readdir(folder).catch((cause) => {
    throw storageError(folder, cause);
  });
  return entries.every((entry) => BEFORE_MANIFEST.has(entry));
}

async function refusal(folder: string): Promise<CaptureError> {
  const inUse = await writerOf(folder);
  if (inUse) return inUse;
  const stored = await readManifest(folder).catch(() => null);
  const holds = stored
    ? stored.complete
      ? "already holds a capture"
      : "holds a capture that is not complete: resume it (moescope capture --resume)"
    : "is not empty";
  const todo = stored && !stored.complete ? ", " : ": ";
  return new CaptureError(
    "CAPTURE_EXISTS",
    `${folder} ${holds}${todo}name another folder, or remove this one first`,
  );
}
