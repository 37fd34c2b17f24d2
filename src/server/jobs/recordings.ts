import { mkdtemp, readdir, realpath, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Root } from "../captures/capture-folders.ts";

/** Bytes on the disk that recordings may take together, and their number; the oldest make room. */
const MAX_BYTES = 512 << 20;
const MAX_RECORDINGS = 1000;

/** Captures of requests to this server: in a folder of their own that goes when the server does. */
export class Recordings {
  readonly root: Root;
  readonly #limit: number;
  /** Oldest first, with their size. */
  readonly #kept = new Map<string, number>();
  #next = 1;

  private constructor(root: Root, limit: number) {
    this.root = root;
    this.#limit = limit;
  }

  /** @param limit bytes on the disk; for tests. */
  static async create(limit = MAX_BYTES): Promise<Recordings> {
    const path = await realpath(await mkdtemp(join(tmpdir(), "moescope-recordings-")));
    return new Recordings({ path, origin: "recording" }, limit);
  }

  /** A folder for the next recording. It is not made. */
  folder(kind: string): string {
    return join(
      this.root.path,
      `${kind.replaceAll(/[^a-z]+/g, "-")}-${String(this.#next++).padStart(4, "0")}`,
    );
  }

  /** A recording has ended: keep it, in place of the oldest. One without rows is not kept. */
  async keep(folder: string, rows: number): Promise<void> {
    if (rows === 0) return rm(folder, { recursive: true, force: true });
    this.#kept.set(folder, await sizeOf(folder));
    let bytes = [...this.#kept.values()].reduce((sum, size) => sum + size, 0);
    for (const [oldest, size] of [...this.#kept]) {
      if ((bytes <= this.#limit && this.#kept.size <= MAX_RECORDINGS) || oldest === folder) break;
      this.#kept.delete(oldest);
      bytes -= size;
      await rm(oldest, { recursive: true, force: true });
    }
  }

  close(): Promise<void> {
    return rm(this.root.path, { recursive: true, force: true });
  }
}

async function sizeOf(folder: string): Promise<number> {
  const sizes = (await readdir(folder)).map(async (file) => (await stat(join(folder, file))).size);
  return (await Promise.all(sizes)).reduce((sum, size) => sum + size, 0);
}
