import { copyFile, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { beforeEach, describe, expect, test } from "vitest";
import { load } from "../../src/run/load.ts";
import { resolveModel } from "../../src/sources/resolve.ts";
import { ggufOf } from "../fixtures/families.ts";
import { temporaryFolder } from "./temporary-folder.ts";

let home: string;
beforeEach(async () => {
  home = await temporaryFolder();
});

const resolve = (reference: string) => resolveModel(reference, { home, env: {} });
const failure = (promise: Promise<unknown>) =>
  promise.then(
    () => {
      throw new Error("it is a model");
    },
    (error) => error as Error & { code: string },
  );

describe("a path that leads nowhere was probably meant otherwise", () => {
  test.each([
    [
      "Qwen/Qwen3-30B-A3B",
      "write hf:Qwen/Qwen3-30B-A3B for its GGUF file, or Qwen/Qwen3-30B-A3B with --engine vllm",
    ],
    ["Qwen/Qwen3-30B-A3B-GGUF:Q4_K_M", "write hf:Qwen/Qwen3-30B-A3B-GGUF:Q4_K_M"],
    ["org-nobody/repo/dir/file.gguf", "write hf:org-nobody/repo/dir/file.gguf"],
    ["qwen3:30b-a3b", "write ollama:qwen3:30b-a3b"],
    ["~nobody/m.gguf", "give the whole path"],
  ])("%s", async (reference, words) => {
    const error = await failure(resolve(reference));
    expect(error.code).toBe("MODEL_NOT_FOUND");
    expect(error.message).toContain(words);
  });

  test.each([
    "./Qwen/Qwen3",
    "model.gguf",
    "/models/m.gguf",
    "models/m.gguf",
    "C:\\models\\m.gguf",
    "C:m.gguf",
  ])("%s is a path", async (path) => {
    expect(await resolve(path)).toEqual({ path, source: path });
  });
});

describe("URLs", () => {
  test.each([
    ["https://huggingface.co/org/repo/blob/main/file.gguf", "write hf:org/repo/file.gguf"],
    [
      "https://huggingface.co/org/repo/resolve/v1/a%20dir/file.gguf?download=true",
      "write hf:org/repo@v1/a dir/file.gguf",
    ],
    ["https://hf.co/org/repo", "write hf:org/repo, or org/repo with --engine vllm"],
    ["https://huggingface.co/org/repo/tree/main", "write hf:org/repo, or"],
    ["https://huggingface.co/org/repo/blob/main/model.safetensors", "write org/repo with --engine vllm"],
    ["https://ollama.com/library/qwen3:30b", "write ollama:qwen3:30b"],
    ["http://example.org/m.gguf", "download the file"],
    ["s3://bucket/m.gguf", "download the file"],
    ["s3://bucket/m", "give a local .gguf file"],
  ])("%s", async (url, words) => {
    for (const promise of [resolve(url), load(url)]) {
      const error = await failure(promise);
      expect(error.code).toBe("INVALID_ARGUMENT");
      expect(error.message).toContain(words);
    }
  });

  test("a file's is its path", async () => {
    expect((await resolve(pathToFileURL(ggufOf("olmoe")).href)).path).toBe(ggufOf("olmoe"));
    expect((await failure(resolve("file://host/x.gguf"))).message).toContain("no URL of a file here");
  });
});

test("~ is the home folder", async () => {
  await copyFile(ggufOf("olmoe"), join(home, "m.gguf"));
  expect((await resolve("~/m.gguf")).path).toBe(join(home, "m.gguf"));
});

describe("folders", () => {
  test.each([
    ["with a model", "b.gguf", "give a file of it: "],
    ["with a checkpoint", "model-00001-of-00002.safetensors", "--engine vllm"],
    ["with its configuration", "config.json", "--engine vllm"],
    ["with nothing", "readme.txt", "without a .gguf file"],
  ])("%s", async (_, name, words) => {
    const folder = join(home, "folder");
    await mkdir(folder);
    await writeFile(join(folder, name), "");
    const error = await failure(resolve(folder));
    expect(error.code).toBe("MODEL_NOT_FOUND");
    expect(error.message).toContain(words);
  });
});

test("what llama.cpp runs is not for vLLM", async () => {
  for (const [reference, words] of [
    ["hf:Qwen/Qwen3", "without hf:, as Qwen/Qwen3"],
    ["ollama:qwen3", "leave out --engine vllm"],
  ] as const)
    expect((await failure(load(reference, { engine: "vllm" }))).message).toContain(words);
});
