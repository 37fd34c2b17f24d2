import { createHash } from "node:crypto";
import { stat } from "node:fs/promises";
import { basename } from "node:path";
import { PHASES } from "../../core/rows.ts";
import type { Capture } from "../capture.ts";
import { type FolderValues, filesOf } from "./folder-values.ts";

/**
 * A hash of what a capture folder holds: model, samples, rows and texts as they were opened, and name, size and time of
 * each file of values, which may be too large to be read for this. A run that goes on or is resumed changes it.
 *
 * @returns `null` for what is in memory, and for a part of a capture.
 */
export async function folderContent(capture: Capture): Promise<string | null> {
  const { origin, rows } = capture;
  if (origin === null || origin.samples !== null) return null;
  const hash = createHash("sha256");
  const add = (part: unknown) => hash.update(`${JSON.stringify(part, sorted)}\n`);
  const { model, engine, samples, streams, complete, missing, outputs } = capture;
  add({ model, engine, samples, complete, missing });
  add(outputs.map(({ sample, text, reason }) => [sample, text, reason]));
  add(streams.map((name) => [name, [...capture.stream(name).keys()]]));
  for (const column of [rows.sample, rows.position, rows.tokenId])
    hash.update(new Uint8Array(column.buffer, column.byteOffset, column.byteLength));
  hash.update(Uint8Array.from(rows.phase, (name) => PHASES.indexOf(name)));
  add(Array.from(new Set(rows.tokenId), (id) => capture.tokenText(id)));
  for (const file of filesOf(origin.values as FolderValues)) {
    const info = await stat(file, { bigint: true }).catch(() => null);
    if (info === null) return null;
    add([basename(file), `${info.size}`, `${info.mtimeNs}`]);
  }
  return hash.digest("hex");
}

/** Whoever wrote the folder has the same things in another order as who opened it. */
const sorted = (_: string, value: unknown): unknown =>
  typeof value === "object" && value !== null && !Array.isArray(value)
    ? Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)))
    : value;
