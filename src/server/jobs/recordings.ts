import { mkdtemp, readdir, realpath, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type FolderLock, lockFolder } from "../../capture/folder/folder-lock.ts";
import type { Root } from "../captures/capture-folders.ts";
import { Recording } from "./recording.ts";
import type { JobKind } from "./schemas.ts";
import { sweepRecordings } from "./sweep-recordings.ts";

/** Bytes on the disk that recordings may take together, and their number; the oldest make room. */
const MAX_BYTES = 512 << 20;
const MAX_RECORDINGS = 1000;

/** The recordings' folders are named like this, in the system's temporary folder. */
export const FOLDER_PREFIX = "moescope-recordings-";

export interface RecordingOptions {
  /** Bytes on the disk. Default 512 MiB. */
  readonly limit?: number;
  /** Whether requests are recorded. Default: yes. */
  readonly on?: boolean;
}

/**
 * Captures of requests to this server: in a folder of their own, which only this user reads, and which goes when the
 * server does. A server that was killed leaves it; the next one takes it away.
 */
export class Recordings {
  readonly root: Root;
  readonly on: boolean;
  readonly limit: number;
  readonly maxRequests = MAX_RECORDINGS;
  readonly #lock: FolderLock;
  /** Oldest first, with their size. */
  readonly #kept = new Map<string, number>();
  /** Those that are being made, with what they took so far. */
  readonly #making = new Map<string, number>();
  #next = 1;

  private constructor(root: Root, lock: FolderLock, { limit = MAX_BYTES, on = true }: RecordingOptions) {
    this.root = root;
    this.on = on;
    this.limit = limit;
    this.#lock = lock;
  }

  static async create(options: RecordingOptions = {}): Promise<Recordings> {
    await sweepRecordings(tmpdir(), FOLDER_PREFIX);
    // Made with mode 0700: it holds what people asked.
    const path = await realpath(await mkdtemp(join(tmpdir(), FOLDER_PREFIX)));
    return new Recordings({ path, origin: "recording" }, await lockFolder(path), options);
  }

  /** Where a request's rows go: `null` where requests are not recorded. A capture that was asked for is always kept. */
  start(kind: JobKind): Recording | null {
    if (!this.on && kind !== "capture") return null;
    const name = `${kind.replaceAll(/[^a-z]+/g, "-")}-${String(this.#next++).padStart(4, "0")}`;
    return new Recording(join(this.root.path, name), this, kind === "capture");
  }

  /** Make room for further bytes of a recording that is being made. @returns whether there is room. */
  async grow(folder: string, bytes: number): Promise<boolean> {
    const size = (this.#making.get(folder) ?? 0) + bytes;
    this.#making.set(folder, size);
    await this.#makeRoom(null);
    return this.#bytes() <= this.limit;
  }

  /** A recording has ended: keep it, in place of the oldest. */
  async keep(folder: string): Promise<void> {
    this.#making.delete(folder);
    this.#kept.set(folder, await sizeOf(folder));
    await this.#makeRoom(folder);
  }

  async drop(folder: string): Promise<void> {
    this.#making.delete(folder);
    await rm(folder, { recursive: true, force: true });
  }

  async close(): Promise<void> {
    await rm(this.root.path, { recursive: true, force: true });
    await this.#lock.release();
  }

  #bytes(): number {
    let sum = 0;
    for (const sizes of [this.#kept, this.#making]) for (const size of sizes.values()) sum += size;
    return sum;
  }

  async #makeRoom(newest: string | null): Promise<void> {
    for (const [oldest] of [...this.#kept]) {
      if ((this.#bytes() <= this.limit && this.#kept.size <= MAX_RECORDINGS) || oldest === newest) break;
      this.#kept.delete(oldest);
      await rm(oldest, { recursive: true, force: true });
    }
  }
}

async function sizeOf(folder: string): Promise<number> {
  let sum = 0;
  for (const file of await readdir(folder)) sum += (await stat(join(folder, file))).size;
  return sum;
}
