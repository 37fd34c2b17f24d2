import { expect, test } from "vitest";
import { parseModelReference } from "../../src/sources/reference.ts";

const hub = (rest: object) => ({ kind: "hf", repo: "org/repo", revision: "main", ...rest });
const ollama = (rest: object) => ({
  kind: "ollama",
  host: "registry.ollama.ai",
  namespace: "library",
  tag: "latest",
  ...rest,
});

test.each([
  ["model.gguf", { kind: "path", path: "model.gguf" }],
  ["./hf:org/repo", { kind: "path", path: "./hf:org/repo" }],
  ["C:\\models\\m.gguf", { kind: "path", path: "C:\\models\\m.gguf" }],
  ["D:/m.gguf", { kind: "path", path: "D:/m.gguf" }],
  ["a name with spaces.gguf", { kind: "path", path: "a name with spaces.gguf" }],
  ["hf:org/repo", hub({})],
  ["HF:org/repo", hub({})],
  ["hf:org/repo:Q4_K_M", hub({ quant: "Q4_K_M" })],
  ["hf:org/repo:ud-q4_k_xl", hub({ quant: "ud-q4_k_xl" })],
  ["hf:org/repo/file.gguf", hub({ file: "file.gguf" })],
  ["hf:org/repo/a dir/b/file.GGUF", hub({ file: "a dir/b/file.GGUF" })],
  ["hf:org/repo@v1.0:Q8_0", hub({ revision: "v1.0", quant: "Q8_0" })],
  ["hf:org/repo@refs%2Fpr%2F1/file.gguf", hub({ revision: "refs/pr/1", file: "file.gguf" })],
  ["ollama:qwen3", ollama({ name: "qwen3" })],
  ["ollama:qwen3:30b-a3b", ollama({ name: "qwen3", tag: "30b-a3b" })],
  ["ollama:library/qwen3", ollama({ name: "qwen3" })],
  ["ollama:me/mine:v1", ollama({ namespace: "me", name: "mine", tag: "v1" })],
  ["ollama:hf.co/org/repo:Q4_K_M", ollama({ host: "hf.co", namespace: "org", name: "repo", tag: "Q4_K_M" })],
  ["ollama:localhost:5000/org/repo", ollama({ host: "localhost:5000", namespace: "org", name: "repo" })],
  ["lmstudio:pub/model", { kind: "lmstudio", model: "pub/model" }],
  ["lmstudio:pub/model:Q8_0", { kind: "lmstudio", model: "pub/model", quant: "Q8_0" }],
  ["lmstudio:pub/model/d/f.gguf", { kind: "lmstudio", model: "pub/model", file: "d/f.gguf" }],
])("%s", (reference, expected) => {
  expect(parseModelReference(reference)).toEqual(expected);
});

test.each([
  "",
  "  ",
  "https://huggingface.co/org/repo",
  "hf:",
  "hf:repo",
  "hf:../repo",
  "hf:org/..",
  "hf:org/repo:",
  "hf:org/repo:Q4/K",
  "hf:org/repo@",
  "hf:org/repo@..:Q4_K_M",
  "hf:org/repo@%2e%2e%2fx",
  "hf:org/repo@%zz",
  "hf:org/repo/README.md",
  "hf:org/repo/../x.gguf",
  "hf:org/repo/a\\..\\x.gguf",
  "hf:org/repo//x.gguf",
  "hf:org/repo/c:x.gguf",
  "hf:org/repo/\u001b[2J.gguf",
  "ollama:",
  "ollama:../../x",
  "ollama:a/b/c/d",
  "ollama:x:..",
  "ollama:../b/c",
  "lmstudio:pub",
  "lmstudio:../..",
  "lmstudio:pub/model/../../x.gguf",
])("%j is refused with the form that was expected", (reference) => {
  expect(() => parseModelReference(reference)).toThrow(
    expect.objectContaining({
      name: "RequestError",
      code: "INVALID_ARGUMENT",
      message: expect.stringMatching(/; (write|give) /),
    }),
  );
});
