import { execFileSync } from "node:child_process";
import { appendFile, cp, readdir, readFile, rm, truncate, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, inject, test } from "vitest";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { readManifest } from "../../src/capture/folder/manifest.ts";
import { packageRoot } from "../../src/core/package-root.ts";
import type { WriteBytes } from "../../src/formats/atomic-file.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { MODEL, syntheticEngine } from "../hs/synthetic-engine.ts";
import { capturePath } from "./folder.ts";
import { drive, syntheticRun } from "./synthetic.ts";

/** 8 rows a shard for the streams of {@link syntheticRun}. */
const SHARD_BYTES = 8 * 193;
const journalOf = (folder: string) => join(folder, "journal.jsonl");

/** A run of 20 rows that was killed after two shards; its first sample has ended. */
async function killed(): Promise<string> {
  const folder = await capturePath();
  const run = syntheticRun({ lengths: [8, 10, 2] });
  const sink = new FolderSink(folder, { shardBytes: SHARD_BYTES });
  await sink.open(run.header);
  await sink.write(run.batches[0]!);
  await sink.finish([run.finished[0]!]);
  for (const batch of run.batches.slice(1)) await sink.write(batch);
  return folder;
}

const rowsOf = async (folder: string) => (await openCapture(folder)).rows.length;

/** What opening a folder says. */
const refusal = (folder: string) =>
  openCapture(folder).then(
    () => "opened",
    (error: Error) => error.message,
  );

describe("the manifest of a run that goes on", () => {
  test("is written once at the beginning and once at the end; in between the journal grows", async () => {
    const folder = await killed();
    const manifest = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8"));
    expect(manifest).toMatchObject({ format: "moescope.capture/1+journal", shards: [], rows: 0 });
    const lines = (await readFile(journalOf(folder), "utf8")).split("\n");
    expect(lines.pop()).toBe("");
    expect(lines.map((line) => JSON.parse(line).shard.rows)).toEqual([8, 8]);
    const capture = await openCapture(folder);
    expect(capture.rows.length).toBe(16);
    expect(capture.complete).toBe(false);
    // The first sample ended after the shard with its last row was full: the next one's line says so.
    expect(capture.outputs.map(({ sample }) => sample)).toEqual([0]);
  });

  test("has the journal in it when the run has ended, and the journal goes", async () => {
    const folder = await capturePath();
    const run = syntheticRun({ lengths: [8, 10, 2] });
    await drive(run, new FolderSink(folder, { shardBytes: SHARD_BYTES }));
    expect(await readdir(folder)).not.toContain("journal.jsonl");
    const manifest = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8"));
    expect(manifest).toMatchObject({ format: "moescope.capture/1", rows: 20, complete: true });
    expect(manifest.shards).toHaveLength(3);
  });

  test("does not take up a journal that was left: a run killed before it could be removed", async () => {
    const folder = await killed();
    const journal = await readFile(journalOf(folder));
    const capture = await drive(
      syntheticRun({ lengths: [8, 10, 2] }),
      new FolderSink(`${folder}-whole`, { shardBytes: SHARD_BYTES }),
    );
    await writeFile(journalOf(`${folder}-whole`), journal);
    expect(await rowsOf(`${folder}-whole`)).toBe(capture.rows.length);
  });
});

describe("a journal", () => {
  test("that breaks off in a line at any byte has the lines before", async () => {
    const folder = await killed();
    const journal = await readFile(journalOf(folder));
    const first = journal.indexOf("\n") + 1;
    for (let bytes = journal.length; bytes >= 0; bytes -= 7) {
      await truncate(journalOf(folder), bytes);
      expect(await rowsOf(folder)).toBe(bytes === journal.length ? 16 : bytes >= first ? 8 : 0);
    }
  });

  test.each<[what: string, line: string, message: RegExp]>([
    ["no JSON", "{]", /journal\.jsonl is no JSON in line 3/],
    ["no shard", "{}", /journal\.jsonl is wrong in line 3 at shard/],
    ["a list", "[]", /journal\.jsonl is wrong in line 3 at its top/],
    [
      "a file outside of the folder",
      JSON.stringify({ shard: { firstRow: 16, rows: 1, files: { rows: "../rows-00000.safetensors" } } }),
      /journal\.jsonl is wrong in line 3 at shard\.files\.rows/,
    ],
    [
      "a shard out of its place",
      JSON.stringify({ shard: { firstRow: 8, rows: 8, files: {} }, outputs: [], embeddings: [] }),
      /shards\.2\.firstRow: 8 where 16 belongs/,
    ],
    [
      "a shard without its files",
      JSON.stringify({ shard: { firstRow: 16, rows: 8, files: {} }, outputs: [], embeddings: [] }),
      /shards\.2\.files: none for rows/,
    ],
  ])("with %s is refused", async (_, line, message) => {
    const folder = await killed();
    await appendFile(journalOf(folder), `${line}\n`);
    expect(await refusal(folder)).toMatch(message);
  });

  test("that is gone is named", async () => {
    const folder = await killed();
    await rm(journalOf(folder));
    expect(await refusal(folder)).toMatch(/journal\.jsonl is missing/);
  });

  test("read while the run goes on and ends shows rows that only become more", async () => {
    const folder = await capturePath();
    const run = syntheticRun({ lengths: Array.from({ length: 60 }, () => 4) });
    const sink = new FolderSink(folder, { shardBytes: SHARD_BYTES });
    await sink.open(run.header);
    let ended = false;
    const seen: number[] = [];
    const reading = (async () => {
      while (!ended) seen.push((await readManifest(folder)).rows);
    })();
    for (const batch of run.batches) await sink.write(batch);
    await sink.close({ finished: run.finished });
    ended = true;
    await reading;
    expect(seen).toEqual([...seen].sort((a, b) => a - b));
    expect(new Set(seen).size).toBeGreaterThan(3);
  });
});

test("bytes are written once: the more samples, the fewer beside those of the rows", async () => {
  const perRowByte = async (samples: number) => {
    let bytes = 0;
    const write: WriteBytes = (file, chunk) => {
      bytes += chunk.length;
      return file.writeFile(chunk);
    };
    // 160 values of a row in 2 layers: 1300 bytes with its labels.
    const run = syntheticRun({ experts: 160, lengths: Array.from({ length: samples }, () => 4) });
    await drive(run, new FolderSink(await capturePath(), { shardBytes: 2 ** 16 }, write));
    const rowBytes = 13 + 2 * (160 * 4 + 2 + 2 * 4) + 4 * 6 * 4;
    return bytes / (samples * 4 * rowBytes);
  };
  const [few, many] = [await perRowByte(100), await perRowByte(400)];
  expect(many).toBeLessThan(few);
  expect(many).toBeLessThan(1.15);
});

test("Python reads the finished shards of a killed run", async () => {
  const folder = await killed();
  const script = join(import.meta.dirname, "read_capture.py");
  const read = JSON.parse(
    execFileSync(inject("python"), [script, folder], { maxBuffer: 2 ** 26 }).toString(),
  );
  const capture = await openCapture(folder);
  for (const [layer, { data, dims }] of capture.routerLogits) {
    expect(read.streams.router_logits[layer].shape).toEqual(dims);
    expect(read.streams.router_logits[layer].hex).toBe(
      Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex"),
    );
  }
  // The table may lag behind the shards, by half of its rows or less.
  expect(read.columns.row.length).toBeGreaterThanOrEqual(8);
});

describe("folders of before there was a journal (fixtures/captures)", () => {
  const fixture = (name: string) => join(packageRoot, "fixtures", "captures", name);

  test.each([
    ["complete", true, [0, 1, 2]],
    ["killed", false, [0, 1]],
  ])("%s: opens", async (name, complete, ended) => {
    const capture = await openCapture(fixture(name));
    expect(capture.complete).toBe(complete);
    expect(capture.outputs.map(({ sample }) => sample)).toEqual(ended);
    expect(capture.outputs[1]).toMatchObject({ text: "out 1", tokens: Int32Array.of(1, 9) });
    expect([...capture.rows.tokenId]).toEqual([0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23]);
    expect(capture.rows.text[4]).toBe("né10");
    expect(capture.sample(2).routerLogits.get(3)!.data[0]).toBe(230);
  });

  test("killed: is resumed, and has a journal from then on", async () => {
    const folder = await capturePath();
    await cp(fixture("killed"), folder, { recursive: true });
    const { sha256: _, ...model } = (await readManifest(folder)).model;
    const engine = syntheticEngine({ ...MODEL, ...model });
    const formats: string[] = [];
    const llm = LanguageModel.of({
      ...engine,
      async *run(...args: Parameters<typeof engine.run>) {
        const { format } = JSON.parse(await readFile(join(folder, "manifest.json"), "utf8"));
        formats.push(format);
        yield* engine.run(...args);
      },
    });
    const resumed = await llm.resume(folder);
    expect(formats).toEqual(["moescope.capture/1+journal"]);
    expect(resumed.complete).toBe(true);
    expect(resumed.outputs.map(({ sample }) => sample)).toEqual([0, 1, 2]);
    expect(resumed.outputs[1]).toMatchObject({ text: "out 1" });
    expect((await readManifest(folder)).shards.length).toBeGreaterThan(3);
    expect(await rowsOf(folder)).toBe(resumed.rows.length);
  });
});
