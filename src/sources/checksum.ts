import { createHash, type Hash } from "node:crypto";
import type { RemoteFile } from "./hub-listing.ts";

/** A hash whose digest is the file's etag when all of its bytes went in: the Hub's etags are checksums. */
export function checksumOf({ etag, size }: RemoteFile): Hash {
  // Large files have their sha256; small ones the id that git gives them.
  return etag.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${size}\0`);
}
