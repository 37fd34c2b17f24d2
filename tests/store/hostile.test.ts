import { copyFile, mkdir, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Capture } from "../../src/capture/capture.ts";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { readShardRows, rowTensors } from "../../src/capture/folder/shard-rows.ts";
import { MoescopeError } from "../../src/core/errors.ts";
import { readHeader, safetensorsBytes, type TensorData, withFile } from "../../src/formats/safetensors.ts";
import { capturePath } from "./folder.ts";
import { drive, syntheticRun } from "./synthetic.ts";

/** A good capture of several shards, to be copied and damaged. */
async function goodFolder(): Promise<string> {
  const folder = await capturePath();
  await drive(syntheticRun({ lengths: [5, 6] }), new FolderSink(folder, { shardBytes: 5 * 193 }));
  return folder;
}

function readAll(capture: Capture): void {
  void [capture.rows.text, capture.rows.label, capture.rows.phase];
  for (const name of capture.streams)
    for (const [, { dims, data }] of capture.stream(name)) expect(data.length).toBe(dims[0]! * dims[1]!);
}

/** Open and read all: the error's message, or `null` when it was read. Anything but a MoescopeError is thrown on. */
async function failure(folder: string): Promise<string | null> {
  try {
    readAll(await openCapture(folder));
    return null;
  } catch (error) {
    if (!(error instanceof MoescopeError)) throw error;
    expect(error.code).toBe("CAPTURE_INVALID");
    return error.message;
  }
}

const damage = fc.oneof(
  fc.record({ cut: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }) }),
  fc.record({
    flips: fc.array(
      fc.record({
        at: fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }),
        mask: fc.integer({ min: 1, max: 255 }),
      }),
      {
        minLength: 1,
        maxLength: 4,
      },
    ),
    /** Damage near the start of the file meets its header. */
    early: fc.boolean(),
  }),
);

function damaged(
  bytes: Uint8Array,
  how: typeof damage extends fc.Arbitrary<infer D> ? D : never,
): Uint8Array {
  if ("cut" in how) return bytes.subarray(0, Math.floor(bytes.length * how.cut));
  const out = Uint8Array.from(bytes);
  const reach = how.early ? Math.min(64, out.length) : out.length;
  for (const { at, mask } of how.flips) out[Math.floor(at * reach)]! ^= mask;
  return out;
}

describe("damaged files give an error or are read, never a crash", () => {
  for (const file of [
    "manifest.json",
    "rows-00001.safetensors",
    "router_logits-00000.safetensors",
    "rows.parquet",
  ])
    test(file, async () => {
      const folder = await goodFolder();
      const path = join(folder, file);
      const good = await readFile(path);
      const arrayBuffers = process.memoryUsage().arrayBuffers;
      let errors = 0;
      await fc.assert(
        fc.asyncProperty(damage, async (how) => {
          await writeFile(path, damaged(good, how));
          const message = await failure(folder);
          if (message !== null) errors++;
          // A cut always shows, but for the labels in Parquet, which only other programs read.
          const bytes = Math.floor(good.length * ("cut" in how ? how.cut : 1));
          const unharmed = file === "rows.parquet" || bytes >= good.toString("latin1").trimEnd().length;
          if (!unharmed) expect(message ?? "nothing").toContain(file);
        }),
        { numRuns: 300 },
      );
      if (file === "rows.parquet") expect(errors).toBe(0);
      else expect(errors).toBeGreaterThan(100);
      expect(process.memoryUsage().arrayBuffers - arrayBuffers).toBeLessThan(64 * 2 ** 20);
      await writeFile(path, good);
      expect(await failure(folder)).toBe(null);
    });

  test("every file of a folder that is missing, but for rows.parquet, is named", async () => {
    const folder = await goodFolder();
    const copy = `${folder}-copy`;
    await mkdir(copy);
    const files = await readdir(folder);
    expect(files).toHaveLength(3 * 5 + 2);
    for (const gone of files.filter((file) => file !== "rows.parquet")) {
      for (const file of files) await copyFile(join(folder, file), join(copy, file));
      await rm(join(copy, gone));
      expect(await failure(copy)).toContain(gone);
    }
  });

  test("a shard that is truncated after the capture was opened is an error when it is read", async () => {
    const folder = await goodFolder();
    const capture = await openCapture(folder);
    await truncate(join(folder, "hidden_states-00001.safetensors"), 500);
    expect(() => readAll(capture)).toThrow(/hidden_states-00001\.safetensors ends at byte 500/);
  });
});

/** Put a value at a path like `shards.0.rows`; `undefined` takes away what is there. */
function put(target: unknown, path: string, value: unknown): void {
  const keys = path.split(".");
  const last = keys.pop()!;
  const parent = keys.reduce((at, key) => (at as Record<string, unknown>)[key], target);
  (parent as Record<string, unknown>)[last] = value;
}

describe("a manifest that lies", () => {
  const hidden = { axes: ["rows", "hidden"], dtype: "F32", layers: [0], widths: [6] };
  test.each<[what: string, changes: Record<string, unknown>, message: string]>([
    ["a newer format", { format: "moescope.capture/2" }, "install the one that wrote it"],
    ["no format", { format: undefined }, "is wrong at format"],
    ["a file outside the folder", { "shards.0.files.rows": "../x-00000.safetensors" }, "shards.0.files.rows"],
    [
      "no file for a stream",
      { "shards.1.files.expert_ids": undefined },
      "shards.1.files: none for expert_ids",
    ],
    ["more rows than its shards", { rows: 12 }, "is wrong at rows: 12 where the shards have 11"],
    [
      "rows beyond 32 bits",
      { "shards.2.rows": 2 ** 40, rows: 2 ** 40 + 10 },
      "beyond the limit of 2147483647",
    ],
    [
      "a longer shard",
      { "shards.2.rows": 1e9, rows: 1e9 + 10 },
      'rows-00002.safetensors has I32 [1] as "rows.sample", not I32 [1000000000]',
    ],
    ["a gap between shards", { "shards.1.firstRow": 6 }, "shards.1.firstRow: 6 where 5 belongs"],
    [
      "another width",
      { "streams.router_logits.widths.0": 9 },
      "streams.router_logits.widths: 9 experts in layer 1, where the model has 8",
    ],
    ["no widths", { "streams.router_logits.widths": undefined }, "streams.router_logits.widths: absent"],
    [
      "too few widths",
      { "streams.router_logits.widths": [8] },
      "streams.router_logits.widths: not one width",
    ],
    ["another dtype", { "streams.router_logits.dtype": "BF16" }, "router_logits-00000.safetensors has F32"],
    ["a dtype of no float", { "streams.router_logits.dtype": "U8" }, "U8 holds no float32"],
    ["another axis", { "streams.router_logits.axes": ["rows", "hidden"] }, "hidden where experts belongs"],
    [
      "a layer that is not there",
      { "streams.hidden_states.layers.0": 9 },
      "streams.hidden_states.layers: 9; the model has 4",
    ],
    ["a layer twice", { "streams.hidden_states.layers.0": 1 }, "streams.hidden_states.layers: a layer twice"],
    ["an unknown stream", { "streams.attention": hidden }, "is wrong at streams"],
    ["a sample too few for the outputs", { "samples.length": 1 }, "outputs.1.sample: there are 1 samples"],
    ["a sample too few for the rows", { "samples.length": 1, outputs: [] }, 'has 1 in "rows.sample"'],
    ["a run nobody could have asked for", { run: { maxTokens: -1 } }, "is wrong at run"],
    ["no model", { model: undefined }, "is wrong at model"],
    ["a wrong count of experts", { "model.moe.experts": -1 }, "is wrong at model.moe.experts"],
  ])("%s", async (_, changes, message) => {
    const folder = await goodFolder();
    const path = join(folder, "manifest.json");
    const manifest: unknown = JSON.parse(await readFile(path, "utf8"));
    for (const [place, value] of Object.entries(changes)) put(manifest, place, value);
    await writeFile(path, JSON.stringify(manifest));
    expect(await failure(folder)).toContain(message);
  });
});

describe("labels that lie", () => {
  const labels = {
    sample: Int32Array.of(0, 0),
    position: Int32Array.of(0, 1),
    tokenId: Int32Array.of(7, 8),
    phase: Uint8Array.of(0, 1),
  };
  const good = rowTensors({
    labels,
    tokens: new Map([
      [7, "a"],
      [8, "é"],
    ]),
    outputs: [{ sample: 0, tokens: [8], text: "é", reason: "length" }],
  });
  const readWith = async (tensors: readonly TensorData[]) => {
    const path = await capturePath();
    await writeFile(path, Buffer.concat([...safetensorsBytes(tensors)]));
    return withFile(path, (fd) => readShardRows(fd, path, 2, 1));
  };

  test("good ones are read", async () => {
    expect(await readWith(good)).toEqual({
      labels,
      tokens: new Map([
        [7, "a"],
        [8, "é"],
      ]),
      outputs: [{ sample: 0, tokens: [8], text: "é", reason: "length" }],
    });
  });

  test.each([
    ["rows.sample", Int32Array.of(0, 1), 'has 1 in "rows.sample", row 1; 0 is the most'],
    ["rows.sample", Int32Array.of(-1, 0), 'has -1 in "rows.sample", row 0'],
    ["rows.position", Int32Array.of(0, -5), 'has -5 in "rows.position"'],
    ["rows.token_id", Int32Array.of(-7, 8), 'has -7 in "rows.token_id"'],
    ["rows.phase", Uint8Array.of(0, 2), 'has 2 in "rows.phase"'],
    ["rows.phase", Uint8Array.of(0), 'has U8 [1] as "rows.phase", not U8 [2]'],
    ["tokens.end", Int32Array.of(1, 4), 'has 4 in "tokens.end", where no text ends'],
    ["tokens.end", Int32Array.of(2, 1), 'has 1 in "tokens.end"'],
    ["tokens.end", Int32Array.of(-1, 1), 'has -1 in "tokens.end"'],
    ["tokens.end", Int32Array.of(1), 'has I32 [1] as "tokens.end", not I32 [2]'],
    ["tokens.text", undefined, 'has no tensor "tokens.text"'],
    ["outputs", Uint8Array.from(Buffer.from("[{")), 'has "outputs" that are none of 1 samples'],
    ["outputs", Uint8Array.from(Buffer.from('[{"sample":0}]')), 'has "outputs" that are none'],
    [
      "outputs",
      Uint8Array.from(Buffer.from('[{"sample":1,"tokens":[],"text":"","reason":"eos"}]')),
      'has "outputs" that are none',
    ],
  ])("%s of %s", async (name, data, message) => {
    const tensors = good.flatMap((tensor) =>
      tensor.name !== name ? tensor : data ? { ...tensor, data, shape: [data.length] } : [],
    );
    await expect(readWith(tensors)).rejects.toMatchObject({
      code: "CAPTURE_INVALID",
      message: expect.stringContaining(message),
    });
  });
});

describe("a safetensors header that lies", () => {
  const tensor = { name: "a", dtype: "F32", shape: [2, 3], data: new Float32Array(6) } as const;
  const headerOf = async (
    header: unknown,
    { length, tail = 24 }: { length?: bigint; tail?: number } = {},
  ) => {
    const path = await capturePath();
    const json = Buffer.from(typeof header === "string" ? header : JSON.stringify(header));
    const prefix = Buffer.alloc(8);
    prefix.writeBigUInt64LE(length ?? BigInt(json.length));
    await writeFile(path, Buffer.concat([prefix, json, Buffer.alloc(tail)]));
    return withFile(path, (fd) => readHeader(fd, path));
  };
  const entry = { dtype: "F32", shape: [2, 3], data_offsets: [0, 24] };

  test("what was written is read, aligned to 8 bytes", async () => {
    const path = await capturePath();
    const bytes = Buffer.concat([...safetensorsBytes([tensor], { note: "ü" })]);
    await writeFile(path, bytes);
    const { tensors, metadata } = withFile(path, (fd) => readHeader(fd, path));
    expect(tensors.get("a")).toEqual({ dtype: "F32", shape: [2, 3], offset: bytes.length - 24 });
    expect((bytes.length - 24) % 8).toBe(0);
    expect(metadata).toEqual({ note: "ü" });
    expect((await headerOf({ a: entry })).tensors.size).toBe(1);
  });

  test.each([
    ["longer than the file", { a: entry }, { length: 10_000n }, "ends inside its header"],
    ["beyond the limit", { a: entry }, { length: 100_000_001n }, "the limit is 100000000"],
    ["beyond 2^53", { a: entry }, { length: 2n ** 64n - 1n }, "the limit is"],
    ["not JSON", "{]", {}, "no JSON"],
    ["a list", [], {}, "no JSON object"],
    ["a tensor past the end", { a: entry }, { tail: 23 }, 'truncated: tensor "a"'],
    ["a type no capture has", { a: { ...entry, dtype: "F64" } }, {}, 'dtype "F64"'],
    ["a type of Object.prototype", { a: { ...entry, dtype: "toString" } }, {}, 'dtype "toString"'],
    ["a shape of other bytes", { a: { ...entry, shape: [2, 4] } }, {}, "F32 [2,4] takes 32"],
    ["a shape that overflows", { a: { ...entry, shape: [2 ** 50, 2 ** 50] } }, {}, "takes"],
    ["a fraction", { a: { ...entry, shape: [1.5, 4] } }, {}, "no lists of whole numbers"],
    ["a negative offset", { a: { ...entry, data_offsets: [-24, 0] } }, {}, "no lists of whole numbers"],
    ["offsets that run backwards", { a: { ...entry, data_offsets: [24, 0] } }, {}, "of -24 bytes"],
    [
      "tensors that overlap",
      { a: entry, b: { ...entry, data_offsets: [20, 44] } },
      { tail: 44 },
      "overlapping",
    ],
    ["metadata of numbers", { __metadata__: { a: 1 } }, {}, "metadata"],
    ["an entry that is null", { a: null }, {}, "dtype undefined"],
  ])("%s", async (_, header, options, message) => {
    await expect(headerOf(header, options)).rejects.toMatchObject({
      code: "CAPTURE_INVALID",
      message: expect.stringContaining(message),
    });
  });
});
