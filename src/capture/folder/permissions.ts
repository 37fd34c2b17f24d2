import { stat } from "node:fs/promises";
import { join } from "node:path";
import { MANIFEST_FILE } from "./manifest.ts";

/** Permissions of what a run makes; `undefined`: what the process's umask leaves. */
export interface Permissions {
  readonly folder: number | undefined;
  readonly files: number | undefined;
}

/** For nobody else on the machine: a capture holds prompts and what was answered. */
export const PRIVATE: Permissions = { folder: 0o700, files: 0o600 };

export const SHARED: Permissions = { folder: undefined, files: undefined };

/** Of the files of a run that is continued: its manifest's. */
export async function modeOfFiles(folder: string): Promise<number> {
  const { mode } = await stat(join(folder, MANIFEST_FILE));
  return mode & 0o666;
}
