import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { gatherPrompts } from "../../src/cli/options/gather-prompts.ts";
import { runCli } from "./run-cli.ts";

async function* nothing() {}

const LINES = [
  { prompt: "text", label: "x" },
  { prompt: "own", add_special: true },
  { messages: [{ role: "user", content: "chat" }], chat_template_kwargs: { b: 2 } },
  { token_ids: [1] },
];

test("what the flags say holds where a prompt does not say it itself", async () => {
  const folder = await mkdtemp(join(tmpdir(), "moescope-gather-"));
  try {
    const file = join(folder, "prompts.jsonl");
    await writeFile(file, LINES.map((line) => JSON.stringify(line)).join("\n"));
    const gather = (flags: object) => gatherPrompts(["arg"], { prompts: [file], ...flags }, nothing());
    const chat = [{ role: "user", content: "chat" }];
    expect(await gather({ specialTokens: true })).toMatchObject(["arg", { prompt: "text" }, {}, {}, {}]);
    expect(await gather({ specialTokens: false })).toEqual([
      { prompt: "arg", addSpecial: false },
      { prompt: "text", label: "x", addSpecial: false },
      { prompt: "own", label: null, addSpecial: true },
      { messages: chat, label: null, chatTemplateKwargs: { b: 2 } },
      { tokenIds: [1], label: null },
    ]);
    expect(await gather({ chat: true, chatTemplateKwargs: { a: 1, b: 1 } })).toEqual([
      { messages: [{ role: "user", content: "arg" }], chatTemplateKwargs: { a: 1, b: 1 } },
      { messages: [{ role: "user", content: "text" }], label: "x", chatTemplateKwargs: { a: 1, b: 1 } },
      {
        messages: [{ role: "user", content: "own" }],
        label: null,
        addSpecial: true,
        chatTemplateKwargs: { a: 1, b: 1 },
      },
      { messages: chat, label: null, chatTemplateKwargs: { a: 1, b: 2 } },
      { tokenIds: [1], label: null },
    ]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("variables of templates are a JSON object", async () => {
  const args = ["capture", "m.gguf", "hello", "--chat", "--json", "--chat-template-kwargs"];
  const { stdout } = await runCli([...args, '{"prefix": "P"}']);
  expect(JSON.parse(stdout).samples[0].tokens.text.join("")).toBe("P<user>hello");
  for (const bad of ["prefix=P", "[1]", "null"]) {
    const { code, stderr } = await runCli([...args, bad]);
    expect(code).not.toBe(0);
    expect(stderr).toContain("is no JSON object");
  }
});
