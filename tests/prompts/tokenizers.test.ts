import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { inspectFile } from "../../src/engines/llama/model/gguf.ts";
import { charsmapFault } from "../../src/engines/llama/model/gguf-charsmap.ts";
import { TextCheck } from "../../src/engines/llama/model/text-check.ts";
import { rwkvBytes } from "../../src/engines/llama/model/tokenizer-kind.ts";
import type { Llama } from "../../src/engines/llama/native/bindings.ts";
import { Vocabulary } from "../../src/engines/llama/run/vocabulary.ts";
import type { LanguageModel } from "../../src/run/language-model.ts";
import { load } from "../../src/run/load.ts";
import { ggufOf } from "../fixtures/families.ts";

/** In a thread: what llama.cpp asserts ends this very process. */
const OPTIONS = { threads: 1, contextSize: 128, isolate: "thread" } as const;

const folder = mkdtempSync(join(tmpdir(), "moescope-tokenizers-"));
beforeAll(() => {
  execFileSync(inject("python"), [
    join(import.meta.dirname, "write_tokenizers.py"),
    ggufOf("mixtral"),
    folder,
  ]);
});
afterAll(() => rmSync(folder, { recursive: true }));

const file = (name: string) => join(folder, `${name}.gguf`);

async function using<R>(name: string, work: (llm: LanguageModel) => Promise<R>): Promise<R> {
  const llm = await load(file(name), OPTIONS);
  try {
    return await work(llm);
  } finally {
    await llm.close();
  }
}

const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => null,
    (error) => error,
  );

describe("a sound tokenizer of each kind", () => {
  test.each([
    ["spm", "hello", ["<s>", " ", "h", "e", "l", "l", "o"]],
    ["spm", "é", ["<s>", " ", "<0xC3>", "<0xA9>"]],
    ["spm-eos", "a", ["<s>", " ", "a", "</s>"]],
    ["bpe", "ab", ["a", "b"]],
    ["bpe-bos", "ab", ["<s>", "a", "b"]],
    ["wpm", "hello z", ["[CLS]", " hello", " z", "[SEP]"]],
    ["ugm", "ab", ["a", "b", "</s>"]],
    ["ugm-table", "ab", ["a", "b", "</s>"]],
    ["rwkv", "hello\n", ["hello", "\n"]],
    ["plamo2", "ab", ["a", "b"]],
  ])("%s: %j", async (name, text, tokens) => {
    await using(name, async (llm) => {
      const { rows } = await llm.capture(text, { maxTokens: 0 });
      expect(rows.text).toEqual(tokens);
      const { prompts } = await inspectFile(file(name));
      expect(prompts.textRefused).toBeNull();
      const bare = await llm.encode({ prompt: text, addSpecial: false });
      expect(prompts.adds).toHaveLength(rows.length - bare.length);
      expect(rows.text).toEqual(expect.arrayContaining([...prompts.adds]));
    });
  });
});

describe("without a vocabulary", () => {
  test.each(["no-vocab", "none"])("%s: token ids run, and text is refused", async (name) => {
    await using(name, async (llm) => {
      const capture = await llm.capture([[5, 6, 7], { tokenIds: [8, 9] }], { maxTokens: 2 });
      expect(capture.rows.text.slice(0, 3)).toEqual(["<5>", "<6>", "<7>"]);
      expect(capture.outputs.map(({ text, tokens }) => [text, tokens.length])).toEqual([
        ["", 2],
        ["", 2],
      ]);
      const original = await load(ggufOf("mixtral"), OPTIONS);
      expect([...capture.rows.tokenId]).toEqual([
        ...(
          await original.capture(
            [
              [5, 6, 7],
              [8, 9],
            ],
            { maxTokens: 2 },
          )
        ).rows.tokenId,
      ]);
      await original.close();
      for (const refused of [
        () => llm.capture("hello"),
        () => llm.tokenize("hello"),
        () => llm.detokenize([5]),
        () => llm.capture([[5, 6]], { maxTokens: 2, stop: ["x"] }),
      ]) {
        const error = await failure(refused());
        expect(error).toMatchObject({ code: "INVALID_ARGUMENT" });
        expect(error.message).toContain("no vocabulary");
      }
      expect((await failure(llm.capture("hello"))).message).toContain("--token-ids");
      expect((await inspectFile(file(name))).prompts).toMatchObject({
        tokenizer: "none",
        chatTemplate: false,
      });
    });
  });
});

describe("a text that the vocabulary has no tokens for", () => {
  test.each([
    ["spm-without-bytes", "abc é", "abc ü", '"ü"'],
    ["bpe-without-a-byte", "abc Y", "abc Z", "0x5A"],
    ["rwkv-foreign", null, "other", "0x6F"],
  ])("%s", async (name, good, bad, word) => {
    await using(name, async (llm) => {
      if (good !== null) expect((await llm.encode(good)).length).toBeGreaterThan(0);
      for (const text of [bad, `${good ?? ""}${bad}`.repeat(3)]) {
        const error = await failure(llm.capture(text));
        expect(error).toMatchObject({ code: "MODEL_INVALID" });
        expect(error.message).toContain(word);
        expect(error.message).toContain("token ids");
      }
      expect((await llm.capture([[5, 6, 7]])).rows.length).toBe(3);
    });
  });

  test("inspect says so", async () => {
    expect((await inspectFile(file("rwkv-foreign"))).prompts.lacks).toContain("0x20");
    expect((await inspectFile(file("bpe"))).prompts.lacks).toBeNull();
  });
});

describe("special tokens that are to be added and are not there", () => {
  test.each([
    ["ugm-without-bos", "ab"],
    ["gemma4-without-bos", "ab"],
  ])("%s", async (name, text) => {
    await using(name, async (llm) => {
      const error = await failure(llm.capture(text));
      expect(error).toMatchObject({ code: "MODEL_INVALID" });
      expect(error.message).toContain("BOS (tokenizer.ggml.bos_token_id)");
      expect((await llm.capture({ prompt: text, addSpecial: false })).rows.length).toBeGreaterThan(1);
      expect((await inspectFile(file(name))).prompts.adds[0]).toBeNull();
    });
  });

  test.each([
    ["CLS", 3, { bos: -1, sep: 5 }],
    ["SEP", 3, { bos: 5, sep: -1 }],
    ["EOS", 1, { bos: 5, eos: -1, adds: true }],
    ["EOS", 2, { bos: 5, eos: -1, adds: true }],
    ["BOS", 1, { bos: -1, eos: 5, adds: true }],
  ])(
    "%s, in a tokenizer of type %i",
    (name, type, { bos = 5, eos = 5, sep = 5, adds = false }: Record<string, number | boolean>) => {
      const tokenize = () => {
        throw new Error("llama.cpp was asked");
      };
      const fake = {
        vocab: () => 1n,
        vocabSize: () => 9,
        vocabType: () => type,
        bos: () => bos,
        eos: () => eos,
        sep: () => sep,
        addsBos: () => adds,
        addsEos: () => adds,
        tokenize,
      } as unknown as Llama;
      expect(() => new Vocabulary(fake, 1n as never).tokenize("x", true, true)).toThrow(
        `${name} (tokenizer.ggml`,
      );
      expect(() => new Vocabulary(fake, 1n as never).tokenize("x", false, true)).toThrow(
        "llama.cpp was asked",
      );
    },
  );
});

describe("files whose tokenizer llama.cpp does not survive are refused before it loads them", () => {
  test.each([
    ["wpm-byte", "is a byte"],
    ["ugm-damaged-table", "precompiled_charsmap is damaged"],
    ["rwkv-endless", "0x0A"],
    ["bpe-whitespace", "tokenizer.ggml.pre is whitespace"],
    ["empty-collision", "names a token twice"],
    ["plamo2-without-bytes", "Byte token"],
    ["unknown-kind", "unknown tokenizer"],
    ["bpe-unknown-pre", "unknown pre-tokenizer type"],
  ])("%s", async (name, words) => {
    const error = await failure(load(file(name), OPTIONS));
    expect(error).toMatchObject({ code: "MODEL_INVALID" });
    expect(error.message).toContain(words);
  });
});

test("long runs without a break, which overflow the stack of llama.cpp's regular expressions", async () => {
  await using("bpe-regex", async (llm) => {
    for (const run of ["a", "7", " ", ".", "é"]) {
      expect((await llm.tokenize(run.repeat(20_000))).length).toBeGreaterThan(0);
      const error = await failure(llm.tokenize(run.repeat(200_000)));
      expect(error).toMatchObject({ code: "INVALID_ARGUMENT" });
      expect(error.message).toContain("200000 characters");
    }
    expect((await llm.tokenize("some words, and more of them. ".repeat(20_000))).length).toBeGreaterThan(0);
  });
  await using("bpe", async (llm) => {
    expect((await llm.tokenize("a".repeat(200_000))).length).toBe(200_000);
  });
});

test("a template for tools is taken where there are tools", async () => {
  await using("named-templates", async (llm) => {
    const text = async (further: object) =>
      llm.detokenize(await llm.encode({ messages: [{ role: "user", content: "x" }], ...further }));
    expect(await text({})).toBe("default:x");
    expect(await text({ tools: [{ type: "function" }] })).toBe("tools:x");
    expect((await inspectFile(file("named-templates"))).prompts).toMatchObject({
      chatTemplate: true,
      namedTemplates: ["tool_use"],
    });
  });
});

test("tables of replacements", () => {
  const table = (entries: readonly number[], texts: string) => {
    const bytes = new Uint8Array(4 + 4 * entries.length + texts.length);
    const view = new DataView(bytes.buffer);
    view.setUint32(0, 4 * entries.length, true);
    for (const [i, entry] of entries.entries()) view.setUint32(4 + 4 * i, entry, true);
    bytes.set(new TextEncoder().encode(texts), 4 + 4 * entries.length);
    return [...bytes];
  };
  // The root's base is 256; the letter a leads to 256 ^ 97, a leaf whose base leads to the entry with the text's place.
  const entries = Array.from({ length: 512 }, () => 1 << 31);
  entries[0] = 256 << 10;
  entries[256 ^ 97] = ((256 ^ 97 ^ 300) << 10) | (1 << 8) | 97;
  entries[300] = 0;
  expect(charsmapFault(table(entries, "b\0"))).toBeNull();
  expect(charsmapFault(table(entries.with(300, 2), "b\0"))).toContain("does not end");
  expect(charsmapFault(table(entries, "b"))).toContain("does not end");
  expect(charsmapFault(table(entries.slice(0, 300), "b\0"))).toContain("may lead to entry");
  expect(charsmapFault([1, 2])).toContain("2 bytes");
  expect(charsmapFault([])).toBeNull();
});

test("tokens of RWKV", () => {
  expect([...rwkvBytes("a\\n\\x0a\\t\\\\é")]).toEqual([97, 10, 10, 9, 92, 0xc3, 0xa9]);
});

test("a tokenizer that is not told of has no check of its own", () => {
  expect(new TextCheck({}, "m").refusal).toBeNull();
  expect(() => new TextCheck({}, "m").assert("x".repeat(100_000))).not.toThrow();
});
