import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, expect, onTestFinished } from "vitest";
import { type HubOptions, resolveHubModel } from "../../src/sources/hub.ts";
import { type HubReference, parseModelReference } from "../../src/sources/reference.ts";
import type { ResolvedModel } from "../../src/sources/resolved-model.ts";
import { etagOf, type HubServer, type ServedFile, startHub } from "./hub-server.ts";
import { temporaryFolder } from "./temporary-folder.ts";

/*
 * What tests of the Hub share. A file that imports this has, in each of its tests, an empty home folder and a server of
 * its own with the repository org/repo.
 */

const fixture = (name: string) =>
  readFile(fileURLToPath(new URL(`../../fixtures/${name}.gguf`, import.meta.url)));
export const OLMOE = await fixture("olmoe");
export const QWEN = await fixture("qwen3_moe");
export const MIXTRAL = await fixture("mixtral");
/** The parts of a split model. */
export const part = (i: number) => `Q8_0/m-Q8_0-0000${i}-of-00003.gguf`;

export const FILES: readonly ServedFile[] = [
  { path: "README.md", content: Buffer.from("# a model"), small: true },
  { path: "m-Q4_K_M.gguf", content: OLMOE },
  { path: "m-IQ1_S.gguf", content: QWEN, small: true },
  { path: part(1), content: OLMOE },
  { path: part(2), content: QWEN },
  { path: part(3), content: MIXTRAL },
  { path: "mmproj-F16.gguf", content: Buffer.from("GGUF") },
];

export let home: string;
export let hub: HubServer;
/** How long each wait between tries would have been, in milliseconds. */
export let waits: number[];

beforeEach(async () => {
  home = await temporaryFolder();
  hub = await startHub("org/repo", FILES);
  waits = [];
  onTestFinished(() => hub[Symbol.asyncDispose]());
});

/** Resolve `hf:<reference>` against the server, without waiting between tries. */
export function resolve(reference: string, options: Partial<HubOptions> = {}): Promise<ResolvedModel> {
  return resolveHubModel(parseModelReference(`hf:${reference}`) as HubReference, {
    home,
    wait: async (ms) => void waits.push(ms),
    ...options,
    onProgress: (progress) => {
      hub.arrived = progress.bytes;
      options.onProgress?.(progress);
    },
    env: { HF_ENDPOINT: hub.url, ...options.env },
  });
}

/** A path in the repository's folder of the cache. */
export const cached = (...path: string[]) => join(home, ".cache/huggingface/hub/models--org--repo", ...path);
export const snapshot = (file: string) => cached("snapshots", hub.commit, file);
export const blobs = () => readdir(cached("blobs")).catch(() => []);

/** Where a large file is gathered until it is whole. */
export const incomplete = (content: Buffer) => cached("blobs", `${etagOf({ path: "", content })}.incomplete`);

/** Leave what an earlier, cut download would have. */
export async function leaveIncomplete(content: Buffer, left: Buffer): Promise<void> {
  await mkdir(dirname(incomplete(content)), { recursive: true });
  await writeFile(incomplete(content), left);
}

/** The `Range` headers that the host of the bytes has seen. */
export const ranges = () => hub.seen.filter(({ host }) => host === "cdn").map(({ range }) => range);

/** Vitest's own comparison takes a second for a file of this size. */
export async function expectContent(path: string, content: Buffer): Promise<void> {
  expect((await readFile(path)).equals(content)).toBe(true);
}
