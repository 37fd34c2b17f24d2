import { randomBytes } from "node:crypto";
import { lstat, mkdtemp, readdir, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, sep } from "node:path";

/** What the folders are called; the number is the process they belong to. */
const NAME = /^moescope-rows-(\d+)-/;

/** The names that a server may give files in such a folder. */
const FILE = /^[0-9A-Za-z]+(\.[0-9A-Za-z]+)*\.safetensors$/;

/** A folder of a process that is gone and that nothing was put into for so long (ms) is left over. A process of another container may seem gone. */
const LEFT_OVER_MS = 3_600_000;

/**
 * A private folder of ours into which a server on this host may move files of rows, instead of sending them. We make it
 * and write a nonce into it, so that it shows itself to share host and user with us when it finds the nonce there. Of
 * what it names, only files in here are opened.
 */
export class NearFolder {
  /** What the server is told. */
  readonly told: { readonly folder: string; readonly nonce: string };

  private constructor(folder: string, nonce: string) {
    this.told = { folder, nonce };
  }

  /**
   * @param spool where the server keeps its files. What it says only chooses among the places that we would use ourselves.
   * @returns `null` where it keeps them somewhere else: rows are sent then.
   */
  static async make(spool: string): Promise<NearFolder | null> {
    try {
      const root = await rootOf(spool);
      if (root === null) return null;
      await sweep(root);
      const folder = await mkdtemp(join(root, `moescope-rows-${process.pid}-`));
      const nonce = randomBytes(24).toString("hex");
      await writeFile(join(folder, "nonce"), nonce, { mode: 0o600, flag: "wx" });
      return new NearFolder(folder, nonce);
    } catch {
      return null; // a full or read-only disk
    }
  }

  /** Where a file of that name lies; `null`: it is no name of one. */
  path(name: string): string | null {
    return FILE.test(name) ? join(this.told.folder, name) : null;
  }

  /** With everything that was not read. */
  async remove(): Promise<void> {
    await rm(this.told.folder, { recursive: true, force: true });
  }
}

/** The first of our own places for short-lived files that holds the server's. */
async function rootOf(spool: string): Promise<string | null> {
  for (const root of [process.env.MOESCOPE_SPOOL, "/dev/shm", tmpdir()]) {
    const real = root && (await realpath(root).catch(() => null));
    if (real && (spool === real || spool.startsWith(real + sep))) return real;
  }
  return null;
}

/** Removes folders of processes that were killed. */
async function sweep(root: string): Promise<void> {
  for (const name of await readdir(root)) {
    const pid = NAME.exec(name)?.[1];
    if (pid === undefined || lives(Number(pid))) continue;
    const folder = join(root, name);
    const about = await lstat(folder).catch(() => null);
    if (about && about.uid === process.getuid?.() && Date.now() - about.mtimeMs > LEFT_OVER_MS)
      await rm(folder, { recursive: true, force: true }).catch(() => {});
  }
}

function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}
