import { copyFile, mkdir, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, expect, test } from "vitest";
import { resolveModel } from "../../src/sources/resolve.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const FIXTURE = fileURLToPath(new URL("../../fixtures/olmoe.gguf", import.meta.url));

let home: string;

beforeEach(async () => {
  home = await temporaryFolder();
});

async function add(...path: string[]): Promise<string> {
  const file = join(home, ...path);
  await mkdir(dirname(file), { recursive: true });
  await copyFile(FIXTURE, file);
  return file;
}

const resolve = (reference: string) => resolveModel(reference, { home, env: {} });

test("a model by its name, quantisation or file", async () => {
  const q4 = await add(".lmstudio/models/pub/Model-GGUF/m-Q4_K_M.gguf");
  const q8 = await add(".lmstudio/models/pub/Model-GGUF/m-Q8_0.gguf");
  await add(".lmstudio/models/pub/Model-GGUF/mmproj-F16.gguf");
  const expected = { path: q4, source: "lmstudio:pub/Model-GGUF/m-Q4_K_M.gguf" };
  expect(await resolve("lmstudio:pub/Model-GGUF")).toEqual(expected);
  expect(await resolve("lmstudio:pub/model-gguf:q4_k_m")).toEqual(expected);
  expect(await resolve(expected.source)).toEqual(expected);
  expect((await resolve("lmstudio:pub/Model-GGUF:Q8_0")).path).toBe(q8);
  await expect(resolve("lmstudio:pub/Model-GGUF:Q2_K")).rejects.toThrow(
    "lmstudio:pub/Model-GGUF has no Q2_K; there are: Q4_K_M, Q8_0",
  );
});

test("a model in another format is there all the same", async () => {
  await add(".lmstudio/models/mlx/Model-4bit/model.safetensors");
  await expect(resolve("lmstudio:mlx/Model-4bit")).rejects.toMatchObject({
    code: "MODEL_UNSUPPORTED",
    message: expect.stringContaining("as safetensors (for MLX)"),
  });
});

test("a split model in a folder of its own", async () => {
  const first = await add(".lmstudio/models/pub/big/Q8_0/m-00001-of-00002.gguf");
  await expect(resolve("lmstudio:pub/big")).rejects.toThrow("lacks part 2 of 2");
  await add(".lmstudio/models/pub/big/Q8_0/m-00002-of-00002.gguf");
  expect((await resolve("lmstudio:pub/big:Q8_0")).path).toBe(first);
});

test("the folder of old versions, a moved home, and the folder of the settings", async () => {
  const old = await add(".cache/lm-studio/models/pub/old/m.gguf");
  expect((await resolve("lmstudio:pub/old")).path).toBe(old);
  const moved = await add("disk/lmstudio/models/pub/moved/m.gguf");
  await writeFile(join(home, ".lmstudio-home-pointer"), `${join(home, "disk/lmstudio")}\n`);
  expect((await resolve("lmstudio:pub/moved")).path).toBe(moved);
  const chosen = await add("chosen/pub/old/m.gguf");
  await writeFile(
    join(home, "disk/lmstudio/settings.json"),
    JSON.stringify({ downloadsFolder: join(home, "chosen"), language: "en" }),
  );
  expect((await resolve("lmstudio:pub/old")).path).toBe(chosen);
});

test("what is not there lists what is", async () => {
  await expect(resolve("lmstudio:pub/model")).rejects.toThrow("download it there first, or use hf:org/repo");
  await add(".lmstudio/models/a/b/m.gguf");
  await add(".lmstudio/models/c/d/m.gguf");
  await writeFile(join(home, ".lmstudio/models/a/notes.gguf"), "");
  await expect(resolve("lmstudio:pub/model")).rejects.toMatchObject({
    code: "MODEL_NOT_FOUND",
    message: expect.stringMatching(
      /^LM Studio has no model pub\/model \(looked in .*\); it has: a\/b, c\/d$/,
    ),
  });
});

test("links that lead nowhere or in a circle do no harm", async () => {
  const file = await add(".lmstudio/models/pub/model/m.gguf");
  await symlink(join(home, "gone"), join(home, ".lmstudio/models/pub/model/gone.gguf"));
  await symlink(join(home, ".lmstudio/models"), join(home, ".lmstudio/models/pub/model/circle"));
  expect((await resolve("lmstudio:pub/model/m.gguf")).path).toBe(file);
});

test("settings that cannot be read name no folder", async () => {
  const file = await add(".lmstudio/models/pub/model/m.gguf");
  await writeFile(join(home, ".lmstudio/settings.json"), "{");
  expect((await resolve("lmstudio:pub/model")).path).toBe(file);
});

test("a path is returned as it is", async () => {
  expect(await resolve("some/model.gguf")).toEqual({ path: "some/model.gguf", source: "some/model.gguf" });
});
