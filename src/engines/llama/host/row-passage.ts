import { randomBytes } from "node:crypto";
import { closeSync, openSync, readSync, unlinkSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { RowReader, RowWriter } from "./wire.ts";

/**
 * Rows pass from one process to another through a file without a name, which lies in memory: each side copies once,
 * where a pipe has the kernel copy piece by piece and wakes both for each.
 */
const CAPACITY = 48 << 20;

/** The side that takes rows out; it makes the file. */
export class RowPassage implements RowReader {
  /** For the process at the other end. */
  readonly file: number;
  #open = true;

  private constructor(file: number) {
    this.file = file;
  }

  /** `null` where no such file can be made: rows then go with their messages. */
  static make(): RowPassage | null {
    // What lies in /dev/shm is never written to a disk; elsewhere it may be, after some time.
    for (const folder of process.platform === "linux" ? ["/dev/shm", tmpdir()] : [tmpdir()]) {
      const path = join(folder, `moescope-rows-${randomBytes(12).toString("hex")}`);
      try {
        const file = openSync(path, "wx+", 0o600);
        unlinkSync(path);
        return new RowPassage(file);
      } catch {
        // The next folder.
      }
    }
    return null;
  }

  get(at: number, bytes: number): ArrayBuffer {
    // Not zeroed first, and not a part of a pool.
    const rows = Buffer.allocUnsafeSlow(bytes);
    for (let done = 0; done < bytes; ) {
      const count = readSync(this.file, rows, done, bytes - done, at + done);
      if (count === 0) throw new Error("rows ended early");
      done += count;
    }
    return rows.buffer as ArrayBuffer;
  }

  close(): void {
    if (this.#open) closeSync(this.file);
    this.#open = false;
  }
}

/** The side that puts rows in, one behind the other and round again. */
export class RowEntrance implements RowWriter {
  readonly #file: number;
  /** What has not been taken out yet, oldest first. */
  readonly #lying: { readonly from: number; readonly to: number }[] = [];
  #works = true;

  constructor(file: number) {
    this.#file = file;
  }

  put(rows: Uint8Array): number | null {
    const at = this.#room(rows.byteLength);
    if (at === null || !this.#write(rows, at)) return null;
    this.#lying.push({ from: at, to: at + rows.byteLength });
    return at;
  }

  /** The oldest was taken out. */
  taken(): void {
    this.#lying.shift();
  }

  #room(bytes: number): number | null {
    if (!this.#works || bytes === 0) return null;
    const oldest = this.#lying[0];
    // What lies at the beginning is in the processor's caches still.
    if (!oldest) return bytes <= CAPACITY ? 0 : null;
    const end = this.#lying.at(-1)!.to;
    if (end <= oldest.from) return end + bytes <= oldest.from ? end : null;
    if (end + bytes <= CAPACITY) return end;
    return bytes <= oldest.from ? 0 : null;
  }

  #write(rows: Uint8Array, at: number): boolean {
    try {
      for (let done = 0; done < rows.byteLength; )
        done += writeSync(this.#file, rows, done, rows.byteLength - done, at + done);
      return true;
    } catch {
      // The folder's room is used up, as of a container's small /dev/shm.
      this.#works = false;
      return false;
    }
  }
}
