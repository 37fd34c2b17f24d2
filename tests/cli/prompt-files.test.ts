import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readPrompts, readTokenIds } from "../../src/cli/prompt-files.ts";

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "moescope-prompts-"));
});
afterAll(() => rm(folder, { recursive: true }));

async function* chunks(...parts: (string | Uint8Array)[]) {
  for (const part of parts) yield Buffer.from(part);
}

async function file(name: string, content: string | Uint8Array): Promise<string> {
  const path = join(folder, name);
  await writeFile(path, content);
  return path;
}

test("text: a prompt a line, blank lines skipped, any line ending, no byte order mark", async () => {
  const path = await file("a.txt", "\ufeffone\r\n\n  two \n{three}\n");
  expect(await readPrompts(path, chunks())).toEqual(["one", "  two ", "{three}"]);
});

test("jsonl: prompt, token_ids or messages, with a label or without", async () => {
  const lines = [
    { prompt: "a", label: "x", id: 7 },
    { token_ids: [1, 2] },
    { messages: [{ role: "user", content: "hi" }], label: null },
  ];
  const path = await file("b.jsonl", `${lines.map((line) => JSON.stringify(line)).join("\n\n")}\n`);
  expect(await readPrompts(path, chunks())).toEqual([
    { prompt: "a", label: "x" },
    { tokenIds: [1, 2], label: null },
    { messages: [{ role: "user", content: "hi" }], label: null },
  ]);
});

test.each([
  ["{}", "needs one of prompt, token_ids and messages"],
  ['{"prompt":"a","token_ids":[1]}', "needs only one of prompt, token_ids and messages"],
  ['{"prompt":3}', "prompt: Invalid input: expected string, received number"],
  ['{"messages":[{"role":"user"}]}', "messages.0.content: "],
  ['{"token_ids":[-1]}', "token_ids.0: "],
  ["[1]", "expected object"],
  ["{oops", "no valid JSON"],
])("a bad line is named: %s", async (line, message) => {
  const path = await file("bad.jsonl", `{"prompt":"fine"}\n\n${line}\n`);
  const error = await readPrompts(path, chunks()).catch((e) => e);
  expect(error).toMatchObject({ code: "INVALID_ARGUMENT" });
  expect(error.message).toContain(`${path}:3: `);
  expect(error.message).toContain(message);
});

test("stdin is text, or JSON lines when it begins so", async () => {
  expect(await readPrompts("-", chunks("one\ntw", "o"))).toEqual(["one", "two"]);
  expect(await readPrompts("-", chunks('{"prompt":"a"}\n'))).toEqual([{ prompt: "a", label: null }]);
});

test("files that cannot be prompts", async () => {
  const reading = (path: string, stdin = chunks()) => readPrompts(path, stdin);
  await expect(reading(join(folder, "none.txt"))).rejects.toThrow("there is no file");
  await expect(reading(folder)).rejects.toThrow("cannot read");
  await expect(reading(await file("empty.txt", "\n \n"))).rejects.toThrow("holds no prompts");
  await expect(reading(await file("latin1.txt", Buffer.from([0x66, 0xfc])))).rejects.toThrow("not UTF-8");
  const endless = (async function* () {
    for (;;) yield new Uint8Array(1e6).fill(97);
  })();
  await expect(readPrompts("-", endless)).rejects.toThrow("larger than 64 MB");
});

test("token ids: an array of arrays, or one array", async () => {
  expect(await readTokenIds(await file("ids.json", "[[1, 2], [3]]"))).toEqual([[1, 2], [3]]);
  expect(await readTokenIds(await file("flat.json", "[1, 2]"))).toEqual([[1, 2]]);
  for (const bad of ["[]", "[[]]", '["a"]', "[1, [2]]", "[1.5]", "{}", "{"])
    await expect(readTokenIds(await file("bad.json", bad))).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
    });
});
