import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { readPrompts, readTokenIds } from "../../src/cli/options/prompt-files.ts";
import { MoescopeError } from "../../src/core/errors.ts";

const folder = mkdtempSync(join(tmpdir(), "moescope-prompts-"));
afterAll(() => rmSync(folder, { recursive: true }));

const RUNS = 500;
const LINES = `{"prompt": "The router", "label": "a"}
{"token_ids": [1, 2, 3]}
{"messages": [{"role": "user", "content": "Héllo"}], "label": null}
`;
const IDS = "[[1, 15, 7], [1, 9]]";

/** Good bytes with a few of them changed, cut out or doubled. */
const damaged = (good: string) => {
  const bytes = Buffer.from(good);
  const place = fc.nat(bytes.length - 1);
  const edit = fc.oneof(
    fc.tuple(place, fc.nat(255)).map(([at, byte]) => (b: Buffer) => {
      const copy = Buffer.from(b);
      if (at < copy.length) copy[at] = byte;
      return copy;
    }),
    fc.tuple(place, fc.nat(12)).map(
      ([at, n]) =>
        (b: Buffer) =>
          Buffer.concat([b.subarray(0, at), b.subarray(at + n)]),
    ),
    fc
      .tuple(
        place,
        fc.constantFrom("[", "{", '"', "-1", "1e99", "null", "1.5", '"\\ud800"', "\u001b[2J", "\0", ","),
      )
      .map(
        ([at, text]) =>
          (b: Buffer) =>
            Buffer.concat([b.subarray(0, at), Buffer.from(text), b.subarray(at)]),
      ),
  );
  return fc.array(edit, { minLength: 1, maxLength: 4 }).map((edits) => edits.reduce((b, f) => f(b), bytes));
};

/** What a reader makes of the bytes: its result, or an error of ours; any other error is thrown on. */
async function read(name: string, bytes: Uint8Array | string, reader: (path: string) => Promise<unknown[]>) {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  try {
    return await reader(path);
  } catch (error) {
    if (!(error instanceof MoescopeError)) throw error;
    expect(error.code).toBe("INVALID_ARGUMENT");
    // The message ends up in a terminal.
    expect(error.message).not.toMatch(/(?!\n)\p{Cc}/u);
    return error;
  }
}

const noStdin = (async function* () {})();
const prompts = (path: string) => readPrompts(path, noStdin);

describe("hostile prompt files", () => {
  it(`${RUNS} damaged JSONL files are prompts or an error that names the line`, async () => {
    await fc.assert(
      fc.asyncProperty(damaged(LINES), async (bytes) => {
        const result = await read("damaged.jsonl", bytes, prompts);
        if (result instanceof MoescopeError) return;
        for (const prompt of result) expect(prompt).toBeTypeOf("object");
      }),
      { numRuns: RUNS, seed: 1 },
    );
  });

  it(`${RUNS} damaged files of token ids are lists of whole numbers or an error`, async () => {
    await fc.assert(
      fc.asyncProperty(damaged(IDS), async (bytes) => {
        const result = await read("damaged.json", bytes, readTokenIds);
        if (result instanceof MoescopeError) return;
        for (const ids of result as number[][])
          expect(ids.length > 0 && ids.every((id) => Number.isSafeInteger(id) && id >= 0)).toBe(true);
      }),
      { numRuns: RUNS, seed: 2 },
    );
  });

  it("depth, width and names that trip other readers", async () => {
    const deep = "[".repeat(200_000) + "]".repeat(200_000);
    expect(await read("deep.json", deep, readTokenIds)).toBeInstanceOf(MoescopeError);
    expect(await read("deep.jsonl", `{"token_ids": ${deep}}`, prompts)).toBeInstanceOf(MoescopeError);
    expect(await read("proto.jsonl", '{"__proto__": {"prompt": "x"}}', prompts)).toBeInstanceOf(
      MoescopeError,
    );
    expect(await read("wide.json", `[[${"1,".repeat(1_000_000)}1]]`, readTokenIds)).toHaveLength(1);
    const coloured = await read("escape.jsonl", '{"prompt": \u001b[31m}', prompts);
    expect((coloured as Error).message).not.toContain("\u001b");
  });
});
