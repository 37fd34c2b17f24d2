import { execFileSync } from "node:child_process";
import { cp, mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { analyzeCapture } from "../../src/analysis/analyze.ts";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { readProfile } from "../../src/cli/commands/profile.ts";
import { readPrompts, readTokenIds } from "../../src/cli/options/prompt-files.ts";
import { MoescopeError } from "../../src/core/errors.ts";
import { packageRoot } from "../../src/core/package-root.ts";
import { readHeader } from "../../src/engines/llama/model/gguf.ts";
import { inlineImages } from "../../src/engines/vllm/server/inline-images.ts";
import { hubSettings } from "../../src/sources/hub-settings.ts";
import { lmStudioFolders } from "../../src/sources/lm-studio.ts";
import { capturePath } from "../store/folder.ts";
import { drive, syntheticRun } from "../store/synthetic.ts";

/** More than the few hundred of a test run: MOESCOPE_FUZZ_RUNS=10000. */
const RUNS = Number(process.env.MOESCOPE_FUZZ_RUNS ?? 300);

/** Numbers that are no size of anything, and what else stands where one belongs. */
const HOSTILE: readonly unknown[] = [
  0,
  -1,
  1.5,
  2 ** 31,
  2 ** 32 + 1,
  2 ** 52,
  Number.MAX_SAFE_INTEGER,
  1e300,
  null,
  "8",
  "__proto__",
  [],
  {},
  [[[]]],
  true,
];

type Place = readonly [parent: Record<string, unknown>, key: string];

/** Every value of a document, by what holds it. */
function placesIn(value: unknown): Place[] {
  if (typeof value !== "object" || value === null) return [];
  const parent = value as Record<string, unknown>;
  return Object.keys(parent).flatMap((key): Place[] => [[parent, key], ...placesIn(parent[key])]);
}

const edit = fc.record({
  at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
  /** `undefined` takes the value away, "twice" puts it in its list again. */
  to: fc.constantFrom(...HOSTILE, undefined, "twice"),
});
type Edit = typeof edit extends fc.Arbitrary<infer E> ? E : never;

/** The document with some values replaced, keys taken away and entries doubled. */
function mutated(document: unknown, edits: readonly Edit[]): unknown {
  const copy = structuredClone(document);
  for (const { at, to } of edits) {
    const places = placesIn(copy);
    const place = places[Math.floor(at * places.length)];
    if (!place) continue;
    const [parent, key] = place;
    if (to === undefined) delete parent[key];
    else if (to === "twice" && Array.isArray(parent)) parent.push(structuredClone(parent[Number(key)]));
    else parent[key] = structuredClone(to);
  }
  return copy;
}

/** A folder of several shards; the run that made it has ended, or goes on and has a journal. */
async function folderOf({ ended }: { ended: boolean }): Promise<string> {
  const folder = await capturePath();
  const run = syntheticRun({ lengths: [5, 6] });
  const sink = new FolderSink(folder, { shardBytes: 5 * 193 });
  if (ended) await drive(run, sink);
  else {
    await sink.open(run.header);
    for (const batch of run.batches) await sink.write(batch);
  }
  return folder;
}

/** What opening the folder and reading all of it gives; whatever is not a MoescopeError is thrown on. */
async function outcome(folder: string): Promise<"read" | "refused"> {
  try {
    const capture = await openCapture(folder);
    void [capture.rows.text, capture.rows.label, capture.outputs.map(({ embedding }) => embedding)];
    for (const name of capture.streams) for (const [,] of capture.stream(name));
    return "read";
  } catch (error) {
    if (!(error instanceof MoescopeError)) throw error;
    expect(error.code).toBe("CAPTURE_INVALID");
    return "refused";
  }
}

/** Writes mutants in the place of a good file and counts what they give; no memory is taken on a number's word. */
async function fuzz(
  folder: string,
  write: (edits: readonly Edit[]) => Promise<void>,
): Promise<{ read: number; refused: number }> {
  const counts = { read: 0, refused: 0 };
  const before = process.memoryUsage().arrayBuffers;
  await fc.assert(
    fc.asyncProperty(fc.array(edit, { minLength: 1, maxLength: 3 }), async (edits) => {
      await write(edits);
      counts[await outcome(folder)]++;
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(64 * 2 ** 20);
    }),
    { numRuns: RUNS },
  );
  return counts;
}

describe("documents with other values, keys and types are refused or read", () => {
  test("manifest.json", async () => {
    const folder = await folderOf({ ended: true });
    const path = join(folder, "manifest.json");
    const good = JSON.parse(await readFile(path, "utf8"));
    const { refused } = await fuzz(folder, (edits) => writeFile(path, JSON.stringify(mutated(good, edits))));
    expect(refused).toBeGreaterThan(RUNS / 2);
  });

  test("journal.jsonl", async () => {
    const folder = await folderOf({ ended: false });
    const path = join(folder, "journal.jsonl");
    const good = (await readFile(path, "utf8"))
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line));
    const lines = (entries: unknown) =>
      (Array.isArray(entries) ? entries : [entries]).map((entry) => `${JSON.stringify(entry)}\n`).join("");
    const { refused } = await fuzz(folder, (edits) => writeFile(path, lines(mutated(good, edits))));
    expect(refused).toBeGreaterThan(RUNS / 3);
  });

  test.each(["rows-00001.safetensors", "router_logits-00000.safetensors"])(
    "the header of %s",
    async (file) => {
      const folder = await folderOf({ ended: true });
      const path = join(folder, file);
      const bytes = await readFile(path);
      const length = Number(bytes.readBigUInt64LE());
      const good = JSON.parse(bytes.toString("utf8", 8, 8 + length));
      const { refused } = await fuzz(folder, async (edits) => {
        const header = Buffer.from(JSON.stringify(mutated(good, edits)) ?? "null");
        const prefix = Buffer.alloc(8);
        prefix.writeBigUInt64LE(BigInt(header.length));
        await writeFile(path, Buffer.concat([prefix, header, bytes.subarray(8 + length)]));
      });
      expect(refused).toBeGreaterThan(RUNS / 3);
    },
  );
});

describe("numbers that memory would be taken by are checked first", () => {
  test.each<[place: string, change: (manifest: Manifest) => void]>([
    ["model.layers", ({ model }) => (model.layers = 2 ** 52)],
    ["model.moe.experts", ({ model }) => (model.moe.experts = 2 ** 52)],
    ["model.moe.experts", ({ model }) => (model.moe.experts = 2 ** 16)],
    ["model.moe.topK", ({ model }) => (model.moe.topK = 2 ** 52)],
    ["model.moe.layers", ({ model }) => (model.moe.layers = [2 ** 52])],
    ["model.moe.layers", ({ model }) => (model.moe.layers = [1, 1])],
    [
      "model.moe.byLayer",
      ({ model }) => (model.moe.byLayer = [1, 3].map(() => ({ experts: 99, topK: 2, gating: null }))),
    ],
    ["streams.router_logits.layers", ({ streams }) => (streams.router_logits.layers = [2 ** 52])],
    ["streams.router_logits.widths", ({ streams }) => (streams.router_logits.widths = [2 ** 52, 8])],
    ["streams.router_logits.widths", ({ streams }) => (streams.router_logits.widths = [8, 9])],
    ["streams.router_logits.widths", ({ model }) => (model.moe.experts = 9)],
    ["streams.expert_ids.widths", ({ model }) => (model.moe.topK = 3)],
    ["streams.hidden_states.widths", ({ model }) => (model.hiddenSize = 7)],
    ["streams.router_logits.layers", ({ model }) => (model.layers = 3)],
    ["streams.router_logits.layers", ({ model }) => (model.moe.layers = [0, 3])],
  ])("%s", async (place, change) => {
    for (const rows of [true, false]) {
      const folder = await folderOf({ ended: true });
      const path = join(folder, "manifest.json");
      const manifest = JSON.parse(await readFile(path, "utf8"));
      // Without rows, no file says that the manifest is wrong.
      if (!rows) Object.assign(manifest, { shards: [], rows: 0 });
      change(manifest);
      await writeFile(path, JSON.stringify(manifest));
      await expect(openCapture(folder)).rejects.toMatchObject({
        code: "CAPTURE_INVALID",
        message: expect.stringContaining(`is wrong at ${place}`),
      });
    }
  });

  test("an analysis of a folder without rows takes what its model says, and that is bounded", async () => {
    const folder = await folderOf({ ended: true });
    const path = join(folder, "manifest.json");
    const manifest: Manifest = JSON.parse(await readFile(path, "utf8"));
    Object.assign(manifest, { shards: [], rows: 0, outputs: [] });
    manifest.model.moe.experts = 1024;
    // Without rows there need be no widths; with them, they would have to be the model's.
    for (const stream of Object.values(manifest.streams)) delete stream.widths;
    await writeFile(path, JSON.stringify(manifest));
    const analysis = await analyzeCapture(await openCapture(folder));
    expect(analysis).toBeDefined();
  });
});

interface Manifest {
  model: {
    layers: number;
    hiddenSize: number;
    moe: { layers: number[]; experts: number; topK: number; byLayer?: object[] };
  };
  streams: { router_logits: { layers: number[]; widths?: number[] } };
}

/** What each kind of thing that is no file is called in an error. */
const KINDS: readonly [kind: string, make: (path: string) => Promise<void>][] = [
  ["a named pipe", async (path) => void execFileSync("sh", ["-c", 'mkfifo "$0"', path])],
  ["a device", (path) => symlink("/dev/zero", path)],
  ["a folder", (path) => mkdir(path).then(() => {})],
];

// Windows has no named pipes in folders.
describe.runIf(process.platform !== "win32")("what is no file is refused at once", () => {
  describe.each(KINDS)("%s", (kind, make) => {
    test("in a capture folder, as any of its files", async () => {
      for (const ended of [true, false]) {
        const good = await folderOf({ ended });
        const files = (await readdir(good)).filter((file) => file !== "rows.parquet" && file !== ".lock");
        for (const file of files) {
          const folder = `${good}-${file}`;
          await cp(good, folder, { recursive: true });
          await rm(join(folder, file));
          await make(join(folder, file));
          const error = await openCapture(folder).then(
            () => null,
            (error) => error,
          );
          expect(error).toMatchObject({ code: "CAPTURE_INVALID" });
          expect(error.message).toContain(file);
          expect(error.message).toContain(`it is ${kind}, not a file`);
        }
      }
    });

    test("as prompts, token ids, a profile, an image", async () => {
      const path = await capturePath();
      await make(path);
      const none = (async function* () {})();
      for (const read of [
        () => readPrompts(path, none),
        () => readTokenIds(path),
        () => readProfile(path),
        () => inlineImages([path]),
      ])
        await expect(read()).rejects.toMatchObject({
          code: "INVALID_ARGUMENT",
          message: expect.stringContaining(`it is ${kind}, not a file`),
        });
    });

    test("as a model, or one of its parts", async () => {
      const folder = await capturePath();
      await mkdir(folder);
      const gguf = join(folder, "model.gguf");
      await make(gguf);
      const first = join(folder, "split-00001-of-00002.gguf");
      await cp(join(packageRoot, "models", "demo", "demo-moe.gguf"), first);
      await make(join(folder, "split-00002-of-00002.gguf"));
      for (const path of [gguf, first])
        await expect(readHeader(path)).rejects.toMatchObject({ name: "ModelError" });
    });

    test("as what other programs keep: a token, settings", async () => {
      const home = await capturePath();
      await mkdir(join(home, ".lmstudio"), { recursive: true });
      await make(join(home, "token"));
      await make(join(home, ".lmstudio-home-pointer"));
      await make(join(home, ".lmstudio", "settings.json"));
      const { token } = await hubSettings({ HF_TOKEN_PATH: join(home, "token") }, home);
      expect(token).toBe(undefined);
      expect(await lmStudioFolders(home)).toContain(join(home, ".lmstudio", "models"));
    });
  });
});
