import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeEach, expect, test } from "vitest";
import { keptFacts } from "../../src/analysis/kept/kept-facts.ts";
import type { Capture } from "../../src/capture/capture.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { schema } from "../../src/core/schema.ts";
import { captureOf, folderOf } from "./synthetic.ts";

const parent = mkdtempSync(join(tmpdir(), "moescope-kept-"));
const before = process.env.XDG_DATA_HOME;
process.env.XDG_DATA_HOME = join(parent, "data");
afterAll(() => {
  if (before === undefined) delete process.env.XDG_DATA_HOME;
  else process.env.XDG_DATA_HOME = before;
  rmSync(parent, { recursive: true });
});

const GIVEN = {
  experts: 4,
  topK: 1,
  labels: ["a", "b"],
  lengths: [3, 3],
  streams: { expert_ids: Uint16Array.from([0, 1, 2, 3, 3, 3]) },
};
const facts = schema((z) => z.strictObject({ answer: z.number() }));
let number = 0;
let folder = "";
let capture: Capture;
let computed = 0;

beforeEach(async () => {
  folder = join(parent, `run${number++}`);
  capture = await folderOf(GIVEN, folder);
  computed = 0;
});

const ask = (of: Capture = capture, asked: object = { seed: 0 }, keep = true) =>
  keptFacts(
    { captures: [of], asked: { ...asked }, schema: facts },
    () => {
      computed++;
      return { answer: computed };
    },
    keep,
  );
const files = () => readdirSync(folder).filter((name) => name.includes("facts"));
const keptFile = () => join(folder, files()[0]!);

test("facts are computed once, kept for this user alone, and read by whoever opens the folder next", async () => {
  expect(await ask()).toEqual({ facts: { answer: 1 }, kept: false });
  expect(await ask()).toEqual({ facts: { answer: 1 }, kept: true });
  expect(await ask(await openCapture(folder))).toEqual({ facts: { answer: 1 }, kept: true });
  expect(files()).toHaveLength(1);
  expect(statSync(keptFile()).mode & 0o777).toBe(0o600);
  expect(statSync(join(parent, "data", "moescope", "kept-facts.key")).mode & 0o777).toBe(0o600);
});

test("another question has its own answer, and the oldest of many go", async () => {
  for (let seed = 0; seed < 12; seed++)
    expect(await ask(capture, { seed })).toEqual({ facts: { answer: seed + 1 }, kept: false });
  expect(files()).toHaveLength(8);
  expect((await ask(capture, { seed: 11 })).kept).toBe(true);
});

test("who does not want it has it computed, and nothing is written", async () => {
  expect((await ask(capture, {}, false)).kept).toBe(false);
  expect((await ask(capture, {}, false)).facts).toEqual({ answer: 2 });
  expect(files()).toEqual([]);
});

test("what is in memory or a part of a capture is computed", async () => {
  expect((await ask(captureOf(GIVEN))).kept).toBe(false);
  await ask(capture.only([0]));
  expect((await ask(capture.only([0]))).kept).toBe(false);
  expect(files()).toEqual([]);
});

test("a changed file of values makes it void, and the old answer goes", async () => {
  await ask();
  const old = keptFile();
  const shard = readdirSync(folder).find((name) => name.startsWith("expert_ids"))!;
  utimesSync(join(folder, shard), new Date(1e12), new Date(1e12));
  expect(await ask(await openCapture(folder))).toEqual({ facts: { answer: 2 }, kept: false });
  expect(files()).toHaveLength(1);
  expect(keptFile()).not.toBe(old);
});

test("a longer run makes it void", async () => {
  await ask();
  const [kept] = [readFileSync(keptFile())];
  const longer = join(parent, "longer");
  const more = await folderOf(
    { ...GIVEN, lengths: [3, 4], streams: { expert_ids: Uint16Array.from([0, 1, 2, 3, 3, 3, 0]) } },
    longer,
  );
  writeFileSync(join(longer, files()[0]!), kept);
  expect((await ask(more)).kept).toBe(false);
});

const spoil: Record<string, (path: string) => void> = {
  truncated: (path) => writeFileSync(path, readFileSync(path).subarray(0, -1)),
  empty: (path) => writeFileSync(path, ""),
  "another number": (path) =>
    writeFileSync(path, readFileSync(path, "utf8").replace('"answer":1', '"answer":7')),
  "signed by somebody else": (path) =>
    writeFileSync(path, `${"00".repeat(32)}\n${JSON.stringify({ answer: 7 })}`),
  "no signature": (path) => writeFileSync(path, JSON.stringify({ answer: 7 })),
  "a link": (path) => {
    rmSync(path);
    symlinkSync("/dev/zero", path);
  },
  "a named pipe": (path) => {
    rmSync(path);
    execFileSync("sh", ["-c", 'mkfifo "$0"', path]);
  },
};

test.each(Object.keys(spoil))("a file that is %s is not believed, and replaced", async (how) => {
  await ask();
  spoil[how]!(keptFile());
  expect(await ask()).toEqual({ facts: { answer: 2 }, kept: false });
  expect(await ask()).toEqual({ facts: { answer: 2 }, kept: true });
});

test("a folder where one is expected is left alone", async () => {
  await ask();
  const path = keptFile();
  rmSync(path);
  mkdirSync(path);
  writeFileSync(join(path, "something"), "");
  expect(await ask()).toEqual({ facts: { answer: 2 }, kept: false });
  expect(statSync(path).isDirectory()).toBe(true);
});

test("facts of another shape are computed again", async () => {
  const other = schema((z) => z.strictObject({ answer: z.string() }));
  await ask();
  const asked = { captures: [capture], asked: { seed: 0 }, schema: other } as const;
  expect(await keptFacts(asked, () => ({ answer: "two" }), true)).toEqual({
    facts: { answer: "two" },
    kept: false,
  });
});

test("without a place for the key nothing is kept, and that is no error", async () => {
  const data = process.env.XDG_DATA_HOME;
  const file = join(parent, "a-file");
  writeFileSync(file, "");
  chmodSync(file, 0o400);
  process.env.XDG_DATA_HOME = file;
  try {
    expect((await ask()).kept).toBe(false);
    expect(files()).toEqual([]);
  } finally {
    process.env.XDG_DATA_HOME = data;
  }
});
