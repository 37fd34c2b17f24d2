import { mkdir, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { CaptureError } from "../../core/errors.ts";

/**
 * Like `mkdir -p`. Node's `recursive: true` goes on for ever where a parent exists but takes no entries (/proc).
 *
 * @param mode permissions of the folder; its parents get what the umask leaves.
 * @throws CaptureError `CAPTURE_EXISTS` when the path is a file; else the system's error.
 */
export async function makeFolder(folder: string, mode?: number): Promise<void> {
  try {
    await mkdir(folder, { mode });
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === "ENOENT" && dirname(folder) !== folder) {
      await makeFolder(dirname(folder));
      await mkdir(folder, { mode });
    } else if (!(await isFolder(folder))) {
      if (code !== "EEXIST") throw cause;
      throw new CaptureError("CAPTURE_EXISTS", `${folder} is a file: name a folder to capture into`, {
        cause,
      });
    }
  }
}

const isFolder = (path: string) =>
  stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
