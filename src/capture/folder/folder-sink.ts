import { readdir } from "node:fs/promises";
import { resolve } from "node:path";
import { CaptureError } from "../../core/errors.ts";
import { argument, oneOf, optionsReader, text, whole } from "../../core/options.ts";
import type { RunHeader } from "../../core/sink.ts";
import { storageError, type WriteBytes } from "../../formats/atomic-file.ts";
import { assertDiskFits } from "./assert-disk-fits.ts";
import { type FolderLock, isLockFile, lockFolder, writerOf } from "./folder-lock.ts";
import type { FolderOptions } from "./folder-options.ts";
import { JOURNAL_FILE } from "./journal.ts";
import { makeFolder } from "./make-folder.ts";
import { MANIFEST_FILE, readManifest } from "./manifest.ts";
import type { Manifest } from "./manifest-record.ts";
import { newManifest } from "./new-manifest.ts";
import { type Permissions, PRIVATE, SHARED } from "./permissions.ts";
import { PROMPTS_FILE, writePromptTokens } from "./prompt-tokens.ts";
import { ShardSink } from "./shard-sink.ts";
import type { OpenFolder } from "./shard-writer.ts";

const readOptions = optionsReader<FolderOptions>("FolderSink", {
  shardBytes: whole(1),
  dtype: oneOf(["float32", "float16", "bfloat16"]),
  access: oneOf(["private", "shared"]),
});

const DEFAULT_SHARD_BYTES = 32 * 2 ** 20;

/**
 * Streams a run into a capture folder, shard by shard; `close` opens it as a capture. At any moment the folder
 * opens with all finished shards; see {@link openCapture}. A run that was killed can be continued:
 * `LanguageModel.resume`.
 *
 * @throws CaptureError `CAPTURE_EXISTS` when the folder holds something, `CAPTURE_IN_USE` while another run writes to
 * it, `STORAGE_FAILED` when it cannot be written: the shards before are then kept;
 * RequestError `CAPTURE_TOO_LARGE` before any of it, when the disk has no room for the run's rows.
 * @example
 * import { FolderSink } from "moescope";
 * const into = new FolderSink("run1", { dtype: "bfloat16", access: "shared" });
 * const stored = await llm.capture(prompts, { streams: ["router_logits", "hidden_states"], into });
 * console.log(stored.routerLogits.get(3)?.dims); // read from the disk
 */
export class FolderSink extends ShardSink {
  readonly #folder: string;
  readonly #dtype: NonNullable<FolderOptions["dtype"]>;
  readonly #shardBytes: number;
  readonly #permissions: Permissions;
  readonly #write: WriteBytes | undefined;

  constructor(folder: string, options?: FolderOptions);
  /** @internal `write` replaces the writing of bytes, for tests that fill the disk. */
  constructor(folder: string, options: FolderOptions | undefined, write: WriteBytes);
  constructor(folder: string, options: FolderOptions = {}, write?: WriteBytes) {
    super();
    const { dtype = "float32", shardBytes = DEFAULT_SHARD_BYTES, access } = readOptions(options);
    this.#folder = argument("FolderSink", "the folder", folder, text);
    this.#dtype = dtype;
    this.#shardBytes = shardBytes;
    this.#permissions = access === "shared" ? SHARED : PRIVATE;
    this.#write = write;
  }

  /** @internal */
  protected async claim(header: RunHeader): Promise<FolderLock> {
    await assertDiskFits(this.#folder, header, this.#manifest(header, null).streams);
    return claimFolder(this.#folder, this.#permissions);
  }

  #manifest(header: RunHeader, modelSha256: string | null): Manifest {
    return newManifest(header, { dtype: this.#dtype, shardBytes: this.#shardBytes, modelSha256 });
  }

  /** @internal */
  protected async prepare(header: RunHeader): Promise<Omit<OpenFolder, "lock">> {
    const { request } = header;
    const [folder, shardBytes] = [this.#folder, this.#shardBytes];
    const options = { write: this.#write, mode: this.#permissions.files };
    const modelSha256 = (await request?.modelHash()) ?? null;
    const manifest = this.#manifest(header, modelSha256);
    if (request) await writePromptTokens(folder, request.prompts, options);
    return { folder, manifest, shardBytes, options, tokens: new Map(), outputs: [] };
  }
}

/** What a run leaves in its folder that is killed before the first manifest. */
const BEFORE_MANIFEST = new Set([
  JOURNAL_FILE,
  PROMPTS_FILE,
  `.${PROMPTS_FILE}.part`,
  `.${MANIFEST_FILE}.part`,
]);

/** Make the folder, or take one that is empty. */
async function claimFolder(folder: string, { folder: mode }: Permissions): Promise<FolderLock> {
  await makeFolder(resolve(folder), mode).catch((cause) => {
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
  return entries.every((entry) => BEFORE_MANIFEST.has(entry) || isLockFile(entry));
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
