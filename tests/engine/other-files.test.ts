import { copyFileSync, mkdtempSync, renameSync, rmSync, unlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { inspectFile } from "../../src/engines/llama/model/gguf.ts";
import { ggufOf } from "../fixtures/families.ts";
import { splitGguf } from "../fixtures/split-gguf.ts";
import { tinyGguf } from "../fixtures/tiny-gguf.ts";

const folder = mkdtempSync(join(tmpdir(), "moescope-files-"));
afterAll(() => rmSync(folder, { recursive: true }));

const failure = (path: string) =>
  inspectFile(path).then(
    () => {
      throw new Error(`${path} is a model`);
    },
    (error) => error as Error & { code: string },
  );

async function refused(name: string, bytes: Buffer | string): Promise<Error & { code: string }> {
  const path = join(folder, name);
  writeFileSync(path, bytes);
  const error = await failure(path);
  expect(error.message).toContain(path);
  return error;
}

const safetensors = Buffer.concat([
  Buffer.from([2, 0, 0, 0, 0, 0, 0, 0]),
  Buffer.from("{}"),
  Buffer.alloc(40),
]);

describe("files that are no GGUF are called what they are", () => {
  test.each<[string, Buffer | string, string]>([
    ["model.safetensors", safetensors, "a safetensors file; convert a Hugging Face checkpoint"],
    ["pytorch_model.bin", "PK\x03\x04", "a PyTorch checkpoint"],
    ["old.bin", Buffer.from([0x80, 0x02, 0x8a, 0x0a]), "a Python pickle"],
    ["ggml.bin", "tjgg\x03\0\0\0", "of before GGUF"],
    ["pointer.gguf", "version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "git lfs pull"],
    ["page.gguf", "<!DOCTYPE html>", "a web page"],
    ["other.gguf", "something else", 'does not begin with "GGUF"'],
    ["empty.gguf", "", 'does not begin with "GGUF"'],
  ])("%s", async (name, bytes, words) => {
    const error = await refused(name, bytes);
    expect(error.code).toBe("MODEL_INVALID");
    expect(error.message).toContain(words);
  });
});

describe("GGUF files that hold no language model", () => {
  test.each<[string, Parameters<typeof tinyGguf>[0], string]>([
    ["mmproj.gguf", { "general.type": "mmproj", "general.architecture": "clip" }, "a projector (mmproj)"],
    ["clip.gguf", { "general.architecture": "clip" }, "a projector (mmproj)"],
    ["lora.gguf", { "general.type": "adapter", "general.architecture": "llama" }, "an adapter (LoRA)"],
    ["old-lora.gguf", { "adapter.type": "lora", "general.architecture": "llama" }, "an adapter (LoRA)"],
    ["imatrix.gguf", { "general.type": "imatrix" }, "an importance matrix"],
    [
      "vocab.gguf",
      { "general.architecture": "llama", "tokenizer.ggml.model": "llama", "tokenizer.ggml.tokens": ["a"] },
      "a vocabulary alone",
    ],
  ])("%s", async (name, metadata, words) => {
    const error = await refused(name, tinyGguf(metadata));
    expect(error.code).toBe("MODEL_UNSUPPORTED");
    expect(error.message).toContain(words);
  });

  test("one for machines with the other order of bytes", async () => {
    const error = await refused("big.gguf", tinyGguf({ "general.architecture": "llama" }, true));
    expect(error.code).toBe("MODEL_UNSUPPORTED");
    expect(error.message).toContain("big-endian");
  });
});

describe("parts of a split model", () => {
  const parts = () => splitGguf(ggufOf("mixtral"), 2, mkdtempSync(join(folder, "split-")));

  test("under a name with spaces and brackets", async () => {
    const [first, second] = parts();
    const renamed = [first!, second!].map((part) =>
      part.replace(/[^/\\]*(-0000\d-of-00002\.gguf)$/, "foo (1)$1"),
    );
    renameSync(first!, renamed[0]!);
    renameSync(second!, renamed[1]!);
    expect((await inspectFile(renamed[1]!)).architecture).toBe("llama");
  });

  test("renamed so that the others cannot be found", async () => {
    const [first] = parts();
    for (const name of ["part.gguf", "mixtral-00001-of-00002 (1).gguf"]) {
      const path = join(folder, name);
      copyFileSync(first!, path);
      const error = await failure(path);
      expect(error.message).toContain("part 1 of 2 of a split model under another name");
      expect(error.message).toContain("-00001-of-00002.gguf");
    }
  });

  test("a part that is not there is named", async () => {
    const [first, second] = parts();
    unlinkSync(second!);
    const error = await failure(first!);
    expect(error.code).toBe("MODEL_NOT_FOUND");
    expect(error.message).toContain(second!);
  });

  test("parts under each other's names, or of another count", async () => {
    const [first, second] = parts();
    renameSync(first!, `${first}.tmp`);
    renameSync(second!, first!);
    renameSync(`${first}.tmp`, second!);
    expect((await failure(first!)).message).toContain("it is part 2, and is named as part 1");

    const three = splitGguf(ggufOf("mixtral"), 3, mkdtempSync(join(folder, "three-")));
    const two = three.map((part) => part.replace("of-00003", "of-00002"));
    for (const [i, part] of three.entries()) renameSync(part, two[i]!);
    expect((await failure(two[0]!)).message).toContain("it is one of 3 parts, and is named as one of 2");
  });

  test("a whole model that is named as a part", async () => {
    const path = join(folder, "whole-00001-of-00002.gguf");
    copyFileSync(ggufOf("mixtral"), path);
    expect((await failure(path)).message).toContain("it says nothing of parts");
  });
});
