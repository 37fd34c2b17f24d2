import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { userFolder } from "../../core/user-folder.ts";
import { readFileUpTo } from "../../formats/regular-file.ts";

const BYTES = 32;
const FILE = "kept-facts.key";

/**
 * Signs what this user's moescope keeps in capture folders. A folder may come from anybody, and numbers that it brings
 * along as if they had been computed from its rows are not believed.
 */
export interface Signature {
  of(text: string): string;
  holds(text: string, signature: string): boolean;
}

/** @returns `null` where the user's folder cannot be written: then nothing is kept. */
export async function signature(env: NodeJS.ProcessEnv = process.env): Promise<Signature | null> {
  const key = await secretIn(userFolder(env)).catch(() => null);
  if (key?.length !== BYTES) return null;
  const digest = (text: string) => createHmac("sha256", key).update(text).digest();
  return {
    of: (text) => digest(text).toString("hex"),
    holds(text, given) {
      const other = Buffer.from(given, "hex");
      return other.length === BYTES && timingSafeEqual(digest(text), other);
    },
  };
}

async function secretIn(folder: string): Promise<Buffer> {
  const path = join(folder, FILE);
  const read = () => readFileUpTo(path, BYTES);
  return read().catch(async () => {
    await mkdir(folder, { recursive: true, mode: 0o700 });
    // Another process may make it at the same time: the first one counts.
    await writeFile(path, randomBytes(BYTES), { flag: "wx", mode: 0o600 }).catch(() => {});
    return read();
  });
}
