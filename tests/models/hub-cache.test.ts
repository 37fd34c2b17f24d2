import { mkdir, readdir, readFile, readlink, stat, type symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { blobPath, linkSnapshot, repoCache, snapshotPath } from "../../src/sources/hub-cache.ts";
import { hubSettings } from "../../src/sources/hub-settings.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const COMMIT = "c".repeat(40);

test("where there are no symbolic links, a hard link takes no second copy's space", async () => {
  const cache = repoCache(await temporaryFolder(), "org/repo");
  await mkdir(dirname(blobPath(cache, "e")), { recursive: true });
  await writeFile(blobPath(cache, "e"), "bytes");
  const refused: typeof symlink = async () => {
    throw Object.assign(new Error("EPERM"), { code: "EPERM" });
  };
  await linkSnapshot(cache, COMMIT, "d/m.gguf", "e", refused);
  const pointer = snapshotPath(cache, COMMIT, "d/m.gguf");
  expect(await readFile(pointer, "utf8")).toBe("bytes");
  expect((await stat(pointer)).ino).toBe((await stat(blobPath(cache, "e"))).ino);
  // And a link later takes its place.
  await linkSnapshot(cache, COMMIT, "d/m.gguf", "e");
  expect(await readlink(pointer)).toBe(join("..", "..", "..", "blobs", "e"));
  expect(await readdir(dirname(pointer))).toEqual(["m.gguf"]);
});

test.each([
  [{}, "/home/me/.cache/huggingface/hub"],
  [{ XDG_CACHE_HOME: "/x" }, "/x/huggingface/hub"],
  [{ HF_HOME: "/hf", XDG_CACHE_HOME: "/x" }, "/hf/hub"],
  [{ HF_HOME: "~/hf" }, "/home/me/hf/hub"],
  [{ HUGGINGFACE_HUB_CACHE: "/old", HF_HOME: "/hf" }, "/old"],
  [{ HF_HUB_CACHE: "/cache", HUGGINGFACE_HUB_CACHE: "/old" }, "/cache"],
  [{ HF_HUB_CACHE: "", HF_HOME: "" }, "/home/me/.cache/huggingface/hub"],
])("%j keeps the cache in %s", async (env, cache) => {
  expect((await hubSettings(env, "/home/me")).cache).toBe(cache);
});

test("endpoint, token and offline mode", async () => {
  expect(await hubSettings({}, "/home/me")).toMatchObject({
    endpoint: "https://huggingface.co",
    token: undefined,
    offline: false,
  });
  const env = { HF_ENDPOINT: "https://mirror.test/hf/", HF_TOKEN: "hf_x", TRANSFORMERS_OFFLINE: "yes" };
  expect(await hubSettings(env, "/home/me")).toMatchObject({
    endpoint: "https://mirror.test/hf",
    token: "hf_x",
    offline: true,
  });
  expect((await hubSettings({ HF_HUB_OFFLINE: "0" }, "/home/me")).offline).toBe(false);
});
