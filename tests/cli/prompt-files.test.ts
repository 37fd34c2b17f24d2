import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { readPrompts, readTokenIds } from "../../src/cli/options/prompt-files.ts";

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
    { prompt: "a", label: "x" },
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
  ['{"text":"a"}', 'unknown field "text": rename it to prompt'],
  ['{"prompt":"a","id":7}', 'unknown field "id": remove it'],
  ['{"conversations":[{"from":"human","value":"x"}]}', "rename it to messages"],
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

test("jsonl: a chat with all that belongs to it; numbers stay what they are", async () => {
  const line =
    '{"messages": [{"role": "user", "content": "hi", "weight": 1.0}], "tools": [{"type": "function"}], ' +
    '"chat_template_kwargs": {"enable_thinking": false}, "continue_final_message": true, "label": "x"}';
  const [prompt] = (await readPrompts(await file("chat.jsonl", line), chunks())) as Record<string, unknown>[];
  expect(prompt).toMatchObject({
    tools: [{ type: "function" }],
    chatTemplateKwargs: { enable_thinking: false },
    continueFinalMessage: true,
    label: "x",
  });
  expect((prompt!.messages as { weight: unknown }[])[0]!.weight).toBeInstanceOf(Number);
});

test("json: a list of objects and texts, an object, or an object a line", async () => {
  const list = '\ufeff[\n  {"prompt": "a",\n   "label": "x"},\n  "b"\n]\n';
  expect(await readPrompts(await file("list.json", list), chunks())).toEqual([
    { prompt: "a", label: "x" },
    "b",
  ]);
  expect(await readPrompts(await file("one.json", '{\n  "prompt": "a"\n}'), chunks())).toEqual([
    { prompt: "a", label: null },
  ]);
  const lines = '{"prompt": "a"}\r\n\r\n{"prompt": "b"}\r\n';
  expect(await readPrompts(await file("lines.json", lines), chunks())).toHaveLength(2);
  for (const ids of ["[[1, 2]]", "[1, 2]"])
    await expect(readPrompts(await file("ids.json", ids), chunks())).rejects.toThrow("--token-ids");
  await expect(readPrompts(await file("bad.json", '["a", {"text": "b"}]'), chunks())).rejects.toThrow(
    'bad.json[1]: unknown field "text": rename it to prompt',
  );
});

test("lines may end as on an old Macintosh", async () => {
  expect(await readPrompts(await file("mac.txt", "one\rtwo\r"), chunks())).toEqual(["one", "two"]);
});

test.each([
  ["a.csv", "prompt,label\nhello,x\n", "comma-separated values"],
  ["a.TSV", "prompt\tlabel\n", "tab-separated values"],
  ["a.yaml", "- prompt: hello\n", "YAML"],
  ["a.parquet", "PAR1....", "Parquet"],
  ["a.jsonl", "PAR1....", "Parquet"],
  ["a.txt", Buffer.from([0x1f, 0x8b, 8, 0]), "gzip"],
  ["b.jsonl", Buffer.from("\ufeff{", "utf16le"), "UTF-16 text; save it as UTF-8"],
  ["a.xlsx", "PK\x03\x04", "ZIP archive"],
  ["a.gguf", "GGUF", "a model"],
])("%s holds no prompts, and it is said what to make of it", async (name, content, words) => {
  const error = await readPrompts(await file(name, content), chunks()).catch((e) => e);
  expect(error).toMatchObject({ code: "INVALID_ARGUMENT" });
  expect(error.message).toContain(words);
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
