import { link, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join } from "node:path";
import { CaptureError } from "../../core/errors.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import { storageError } from "../../formats/atomic-file.ts";
import { readFileUpTo } from "../../formats/regular-file.ts";

/** Tells other processes that a run writes to the folder. Gone when the run has closed it; a killed run leaves it. */
const LOCK_FILE = ".lock";

/** The lock, and what a process leaves that is killed while it makes a lock or takes one away: nobody's. */
export const isLockFile = (name: string) => name === LOCK_FILE || name.startsWith(`${LOCK_FILE}.`);

/** Numbers the files that this process makes on the way to a lock. */
let made = 0;
const besideLock = (path: string) => `${path}.${process.pid}-${made++}`;

const owner = schema((z) =>
  z.object({
    pid: z.int().positive(),
    /** When the process began, as the system counts, so that another one with the same id is not taken for it. */
    start: z.string().nullable(),
    host: z.string(),
  }),
);

type Owner = Parsed<typeof owner>;

/** A folder that only this run writes to, until it is released. */
export interface FolderLock {
  release(): Promise<void>;
}

/**
 * Take a folder for writing. A lock whose process is gone is replaced.
 *
 * @throws CaptureError `CAPTURE_IN_USE` naming the process; `STORAGE_FAILED` where nothing can be written.
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const path = join(folder, LOCK_FILE);
  try {
    // The second attempt comes after a stale lock was taken away; losing that race too means someone else won it.
    for (const last of [false, true]) {
      if (await create(path)) {
        await removeLeftOvers(folder);
        return { release: () => rm(path, { force: true }) };
      }
      const text = await readLock(path);
      if (last || (text !== null && (await inUse(text)))) throw busy(folder, text);
      if (text !== null) await removeStale(path, text);
    }
  } catch (cause) {
    throw storageError(path, cause);
  }
  throw busy(folder, null);
}

/** The refusal, if a live run writes to the folder. */
export async function writerOf(folder: string): Promise<CaptureError | null> {
  const path = join(folder, LOCK_FILE);
  const text = await readLock(path);
  return text !== null && (await inUse(text)) ? busy(folder, text) : null;
}

/**
 * A lock is written under another name first: there never is one that does not say whose it is, whenever a process is
 * killed.
 */
async function create(path: string): Promise<boolean> {
  const me: Owner = { pid: process.pid, start: await startOf(process.pid), host: hostname() };
  const text = JSON.stringify(me);
  const temporary = besideLock(path);
  const exclusive = { flag: "wx", mode: 0o600 };
  try {
    await writeFile(temporary, text, exclusive);
    await link(temporary, path).catch((cause: NodeJS.ErrnoException) => {
      if (NO_LINKS.has(cause.code ?? "")) return writeFile(path, text, exclusive);
      throw cause;
    });
    return true;
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    // Not there any more: whoever took the folder in between has removed what it found of other locks.
    if (code === "EEXIST" || (code === "ENOENT" && (await readLock(path)) !== null)) return false;
    throw cause;
  } finally {
    await rm(temporary, { force: true });
  }
}

/** What file systems without hard links say (FAT, some network drives). */
const NO_LINKS = new Set(["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS", "EMLINK", "EXDEV"]);

/** What processes left that were killed while they made a lock or took one away. */
async function removeLeftOvers(folder: string): Promise<void> {
  for (const name of await readdir(folder))
    if (isLockFile(name) && name !== LOCK_FILE)
      await rm(join(folder, name), { force: true, recursive: true });
}

/** A few words of JSON; what is longer is no lock. */
const MAX_LOCK_LENGTH = 4096;

const readLock = (path: string) =>
  readFileUpTo(path, MAX_LOCK_LENGTH).then(String, (error: NodeJS.ErrnoException) =>
    error.code === "ENOENT" ? null : "",
  );

async function inUse(text: string): Promise<boolean> {
  const by = parse(text);
  // Earlier versions wrote into a lock after they had made it: killed in between, they left one that names nobody.
  if (!by) return false;
  // Of a process on another machine (a shared disk) nothing is known from here.
  if (by.host !== hostname()) return true;
  try {
    process.kill(by.pid, 0);
  } catch (error) {
    // EPERM: it runs, as somebody else.
    if ((error as NodeJS.ErrnoException).code === "ESRCH") return false;
  }
  return by.start === null || by.start === (await startOf(by.pid));
}

function parse(text: string): Owner | null {
  try {
    return owner().parse(JSON.parse(text));
  } catch {
    return null;
  }
}

/** Move a stale lock aside, looking that it still is the one that was judged: two runs may come to it at once. */
async function removeStale(path: string, text: string): Promise<void> {
  const aside = besideLock(path);
  try {
    await rename(path, aside);
  } catch {
    return; // The other was faster.
  }
  if ((await readLock(aside)) === text) await rm(aside, { force: true, recursive: true });
  // Its owner may have gone by now, and has then nothing to take back.
  else await rename(aside, path).catch(() => {});
}

/** Field 22 of Linux's /proc/PID/stat, in clock ticks since the machine began; `null` elsewhere. */
async function startOf(pid: number): Promise<string | null> {
  const text = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  // The second field is the program's name in parentheses and may hold spaces.
  return text.slice(text.lastIndexOf(")") + 2).split(" ")[19] ?? null;
}

function busy(folder: string, text: string | null): CaptureError {
  const by = parse(text ?? "");
  const who = by ? `process ${by.pid}${by.host === hostname() ? "" : ` on ${by.host}`}` : "another process";
  const elsewhere =
    by && by.host !== hostname() ? `; if that one is gone, remove ${join(folder, LOCK_FILE)}` : "";
  return new CaptureError(
    "CAPTURE_IN_USE",
    `${folder} is in use: ${who} writes a capture to it; wait for its end or name another folder${elsewhere}`,
    { retryable: true },
  );
}
