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
  /** @param key what `bytes` are the answer to. */
  of(key: string, bytes: Uint8Array): string;
  holds(key: string, bytes: Uint8Array, signature: string): boolean;
}

/** @returns `null` where the user's folder cannot be written: then nothing is kept. */
export async function signature(env: NodeJS.ProcessEnv = process.env): Promise<Signature | null> {
  const secret = await secretIn(userFolder(env)).catch(() => null);
  if (secret?.length !== BYTES) return null;
  const digest = (key: string, bytes: Uint8Array) =>
    createHmac("sha256", secret).update(`${key}\n`).update(bytes).digest();
  return {
    of: (key, bytes) => digest(key, bytes).toString("hex"),
    holds(key, bytes, given) {
      const other = Buffer.from(given, "hex");
      return other.length === BYTES && timingSafeEqual(digest(key, bytes), other);
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
