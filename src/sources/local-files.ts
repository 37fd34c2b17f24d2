import { readdir, stat } from "node:fs/promises";
import { join } from "node:path";
import { ModelError } from "../core/errors.ts";
import { append } from "../core/extremes.ts";
import { readFileUpTo } from "../formats/regular-file.ts";

/**
 * The regular files below a folder, links followed, as sorted paths with `/`. A folder that is not there has none; links
 * that lead nowhere are left out.
 *
 * @param depth how many levels of folders to look into: a link that leads upwards must not keep us going.
 * @throws ModelError when a folder may not be read.
 */
export async function filesBelow(folder: string, depth: number): Promise<string[]> {
  const names = await readdir(folder).catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === "ENOENT" || cause.code === "ENOTDIR") return [];
    throw new ModelError("MODEL_NOT_FOUND", `cannot read the folder ${folder}: ${cause.message}`, { cause });
  });
  const files: string[] = [];
  for (const name of names.sort()) {
    const path = join(folder, name);
    const info = await stat(path).catch(() => null);
    if (info?.isFile()) files.push(name);
    else if (info?.isDirectory() && depth > 1)
      append(
        files,
        (await filesBelow(path, depth - 1)).map((inner) => `${name}/${inner}`),
      );
  }
  return files;
}

/** In bytes: what programs keep in such files is far less. */
const MAX_SMALL = 2 ** 20;

/** The text of a file that another program keeps (a token, a setting); empty where there is none, or it is no file. */
export function readSmallFile(path: string): Promise<string> {
  return readFileUpTo(path, MAX_SMALL).then(String, () => "");
}

/** The size of a file in bytes; `null` when there is none. */
export async function sizeOf(path: string): Promise<number | null> {
  const info = await stat(path).catch(() => null);
  return info?.isFile() ? info.size : null;
}
