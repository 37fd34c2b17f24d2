import fs from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { basename, dirname } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { capturePath } from "./folder.ts";
import { drive, syntheticRun } from "./synthetic.ts";

/** What is done to files from now on, in order: `synced NAME`, `renamed NAME` (to that name), `removed NAME`. */
async function traced(folder: string): Promise<string[]> {
  const events: string[] = [];
  const original = { open: fs.open, rename: fs.rename, rm: fs.rm };
  const paths = new WeakMap<object, string>();
  const name = (path: unknown) => (String(path) === folder ? "the folder" : basename(String(path)));
  const probe = await fs.open(dirname(folder));
  const handles = Object.getPrototypeOf(probe) as { sync(): Promise<void>; datasync(): Promise<void> };
  await probe.close();
  const { sync, datasync } = handles;
  const recorded = (flush: () => Promise<void>) =>
    async function (this: object) {
      await flush.call(this);
      events.push(`synced ${name(paths.get(this))}`);
    };
  handles.sync = recorded(sync);
  handles.datasync = recorded(datasync);
  fs.open = async (...args) => {
    const handle = await original.open(...args);
    paths.set(handle, String(args[0]));
    return handle;
  };
  fs.rename = async (from, to) => {
    await original.rename(from, to);
    events.push(`renamed ${name(from)} to ${name(to)}`);
  };
  fs.rm = async (path, options) => {
    await original.rm(path, options);
    events.push(`removed ${name(path)}`);
  };
  syncBuiltinESMExports();
  onTestFinished(() => {
    Object.assign(fs, original);
    Object.assign(handles, { sync, datasync });
    syncBuiltinESMExports();
  });
  return events;
}

// Windows has no folder that could be synced.
test.skipIf(process.platform === "win32")("what is named is on the disk before what names it", async () => {
  const folder = await capturePath();
  const events = await traced(folder);
  await drive(syntheticRun({ lengths: [5, 6, 4] }), new FolderSink(folder, { shardBytes: 5 * 193 }));
  const indices = (wanted: RegExp) => events.flatMap((event, i) => (wanted.test(event) ? i : []));
  const between = (from: number, to: number, wanted: string) => events.slice(from, to).includes(wanted);

  // A file's bytes before its name.
  const renames = indices(/^renamed/);
  expect(renames.length).toBeGreaterThan(6);
  for (const at of renames) {
    const [, from] = /^renamed (\S+) to/.exec(events[at]!)!;
    expect([events[at], between(0, at, `synced ${from}`)]).toEqual([events[at], true]);
  }
  // The names of a shard's files before the line of the journal that lists them.
  const lines = indices(/^synced journal\.jsonl$/);
  expect(lines.length).toBeGreaterThan(1);
  for (const line of lines) {
    const shard = indices(/to \w+-\d{5}\.safetensors$/)
      .filter((at) => at < line)
      .at(-1)!;
    expect(between(shard, line, "synced the folder")).toBe(true);
  }
  // And before the manifest; its own name before the journal goes, which it replaces.
  const manifest = indices(/to manifest\.json$/).at(-1)!;
  const last = indices(/to \w+-\d{5}\.safetensors$/).at(-1)!;
  expect(between(last, manifest, "synced the folder")).toBe(true);
  const gone = indices(/^removed journal\.jsonl$/).at(-1)!;
  expect(between(manifest, gone, "synced the folder")).toBe(true);
});
