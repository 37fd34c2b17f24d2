import { mkdir, readdir, readFile, readlink, symlink, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { describe, expect, test } from "vitest";
import { inspectFile } from "../../src/engines/llama/model/gguf.ts";
import { resolveModel } from "../../src/sources/resolve.ts";
import type { DownloadProgress } from "../../src/sources/resolved-model.ts";
import {
  blobs,
  cached,
  expectContent,
  FILES,
  home,
  hub,
  MIXTRAL,
  OLMOE,
  part,
  QWEN,
  resolve,
  snapshot,
} from "./hub-home.ts";
import { etagOf, startHub } from "./hub-server.ts";

describe("download", () => {
  test("goes into the standard cache, and a second call downloads nothing", async () => {
    const progress: DownloadProgress[] = [];
    const first = await resolve("org/repo:q4_k_m", { onProgress: (each) => progress.push(each) });
    expect(first).toEqual({ path: snapshot("m-Q4_K_M.gguf"), source: "hf:org/repo/m-Q4_K_M.gguf" });
    await expectContent(first.path, OLMOE);
    expect((await inspectFile(first.path)).architecture).toBe("olmoe");
    expect(await readlink(first.path)).toBe(join("..", "..", "blobs", etagOf(FILES[1]!)));
    expect(await readFile(cached("refs", "main"), "utf8")).toBe(hub.commit);
    expect(await blobs()).toEqual([etagOf(FILES[1]!)]);
    expect(progress[0]).toEqual({ file: "m-Q4_K_M.gguf", bytes: 0, total: OLMOE.length });
    expect(progress.at(-1)).toEqual({ file: "m-Q4_K_M.gguf", bytes: OLMOE.length, total: OLMOE.length });
    expect(progress.map(({ bytes }) => bytes)).toEqual(
      progress.map(({ bytes }) => bytes).sort((a, b) => a - b),
    );
    expect(hub.sent).toBe(OLMOE.length);

    const calls = progress.length;
    // Neither does the reference that was given back, nor the same through the public entrance.
    const options = { onProgress: (each: DownloadProgress) => progress.push(each) };
    expect(await resolve("org/repo:Q4_K_M", options)).toEqual(first);
    expect(await resolveModel(first.source, { ...options, home, env: { HF_ENDPOINT: hub.url } })).toEqual(
      first,
    );
    expect(hub.sent).toBe(OLMOE.length);
    expect(progress.length).toBe(calls);
  });

  test("without a choice takes Q4_K_M and says so", async () => {
    expect((await resolve("org/repo")).source).toBe("hf:org/repo/m-Q4_K_M.gguf");
  });

  test("a split model: all parts, one total", async () => {
    const progress: DownloadProgress[] = [];
    const { path } = await resolve("org/repo:Q8_0", { onProgress: (each) => progress.push(each) });
    expect(path).toBe(snapshot(part(1)));
    expect(await readlink(path)).toBe(join("..", "..", "..", "blobs", etagOf(FILES[3]!)));
    await expectContent(snapshot(part(2)), QWEN);
    await expectContent(snapshot(part(3)), MIXTRAL);
    const total = OLMOE.length + QWEN.length + MIXTRAL.length;
    expect(progress.at(-1)).toEqual({ file: part(3), bytes: total, total });
    expect(progress.every((each) => each.total === total)).toBe(true);
  });

  test("the same bytes under another name are not downloaded again", async () => {
    await resolve("org/repo:Q4_K_M");
    await resolve("org/repo:Q8_0");
    expect(hub.sent).toBe(OLMOE.length + QWEN.length + MIXTRAL.length);
  });

  test("a file that git keeps itself is checked against git's sha1", async () => {
    const { path } = await resolve("org/repo/m-IQ1_S.gguf");
    await expectContent(path, QWEN);
    expect(await blobs()).toEqual([etagOf(FILES[2]!)]);
  });

  test("a revision with a slash, and a commit that needs no question once it is here", async () => {
    const { source } = await resolve("org/repo@refs%2Fpr%2F1:Q4_K_M");
    expect(source).toBe("hf:org/repo@refs%2Fpr%2F1/m-Q4_K_M.gguf");
    expect(await readFile(cached("refs", "refs", "pr", "1"), "utf8")).toBe(hub.commit);
    const asked = hub.seen.length;
    await resolve(`org/repo@${hub.commit}:Q4_K_M`);
    expect(hub.seen.length).toBe(asked);
  });

  test("a new commit downloads what changed only", async () => {
    await resolve("org/repo:Q8_0");
    const sent = hub.sent;
    hub.commit = "d".repeat(40);
    hub.files = FILES.map((file) => (file.path === part(2) ? { ...file, content: MIXTRAL } : file));
    const { path } = await resolve("org/repo:Q8_0");
    expect(path).toBe(snapshot(part(1)));
    expect(hub.sent).toBe(sent);
    expect(await readFile(cached("refs", "main"), "utf8")).toBe(hub.commit);
  });

  test("two at the same time download once, and both see how far it is", async () => {
    const seen = [0, 0];
    const both = await Promise.all(
      seen.map((_, i) => resolve("org/repo:Q4_K_M", { onProgress: ({ bytes }) => seen.splice(i, 1, bytes) })),
    );
    expect(both[0]).toEqual(both[1]);
    expect(hub.sent).toBe(OLMOE.length);
    expect(await readdir(join(home, ".cache/huggingface/hub/.locks/models--org--repo"))).toEqual([]);
  });

  test("a link that lost its blob is repaired", async () => {
    await mkdir(dirname(snapshot("x")), { recursive: true });
    await symlink("../../blobs/gone", snapshot("m-Q4_K_M.gguf"));
    const { path } = await resolve("org/repo:Q4_K_M");
    await expectContent(path, OLMOE);
  });
});

describe("offline", () => {
  const offline = { env: { HF_HUB_OFFLINE: "1" } };

  test("takes what the cache has, and asks nobody", async () => {
    const { path } = await resolve("org/repo:Q8_0");
    const asked = hub.seen.length;
    expect((await resolve("org/repo:q8_0", offline)).path).toBe(path);
    expect((await resolve("org/repo", offline)).path).toBe(path);
    expect((await resolve(`org/repo/${part(2)}`, offline)).path).toBe(path);
    expect((await resolve(`org/repo@${hub.commit}`, offline)).path).toBe(path);
    expect(hub.seen.length).toBe(asked);
  });

  test("says what is missing", async () => {
    await expect(resolve("org/repo:Q4_K_M", offline)).rejects.toMatchObject({
      code: "MODEL_NOT_FOUND",
      message: expect.stringMatching(/^hf:org\/repo is not in the cache .*HF_HUB_OFFLINE is set/),
    });
    await resolve("org/repo:Q4_K_M");
    await expect(resolve("org/repo:Q8_0", offline)).rejects.toThrow(
      "hf:org/repo in the cache has no Q8_0; there are: Q4_K_M. HF_HUB_OFFLINE is set",
    );
  });

  test("a Hub that cannot be reached is asked once when the cache has the model", async () => {
    const { path } = await resolve("org/repo:Q4_K_M");
    hub.refuse = () => ({ status: 503 });
    const asked = hub.seen.length;
    expect((await resolve("org/repo:Q4_K_M")).path).toBe(path);
    expect(hub.seen.length).toBe(asked + 1);
    const gone = await startHub("org/repo", []);
    await gone[Symbol.asyncDispose]();
    const unreachable = { HF_ENDPOINT: gone.url };
    expect((await resolve("org/repo:Q4_K_M", { env: unreachable })).path).toBe(path);
    await expect(resolve("org/repo:Q8_0", { env: unreachable })).rejects.toThrow("ECONNREFUSED");
  });
});

describe("the token", () => {
  const authorizations = () =>
    Object.fromEntries(["hub", "cdn"].map((host) => [host, unique(host as "hub" | "cdn")]));
  const unique = (host: "hub" | "cdn") => [
    ...new Set(hub.seen.filter((each) => each.host === host).map((each) => each.authorization)),
  ];

  test("goes to the Hub and to no other host", async () => {
    await resolve("org/repo:Q4_K_M", { env: { HF_TOKEN: " hf_secret\n" } });
    expect(authorizations()).toEqual({ hub: ["Bearer hf_secret"], cdn: [undefined] });
  });

  test("follows a repository to its new name on the same host", async () => {
    hub.refuse = (path) =>
      path.includes("old/name")
        ? { status: 307, headers: { Location: path.replace("old/name", "org/repo") } }
        : undefined;
    await resolve("old/name:Q4_K_M", { env: { HF_TOKEN: "hf_secret" } });
    expect(unique("hub")).toEqual(["Bearer hf_secret"]);
  });

  test("is read from the files where login leaves it", async () => {
    await mkdir(join(home, "hf"));
    await writeFile(join(home, "hf", "token"), "hf_file\n");
    await resolve("org/repo:Q4_K_M", { env: { HF_HOME: join(home, "hf") } });
    expect(unique("hub")).toEqual(["Bearer hf_file"]);
    hub.seen.length = 0;
    await writeFile(join(home, "elsewhere"), "other");
    await resolve("org/repo:Q4_K_M", { env: { HF_TOKEN_PATH: "~/elsewhere" } });
    expect(unique("hub")).toEqual(["Bearer other"]);
  });

  test("is not shown when it cannot be one", async () => {
    const error = await resolve("org/repo", { env: { HF_TOKEN: "hf_secret and more" } }).catch(
      (each) => each,
    );
    expect(error).toMatchObject({ name: "RequestError", code: "INVALID_ARGUMENT" });
    expect(error.message).not.toContain("secret");
  });
});

test("an HF_ENDPOINT that is no address", async () => {
  await expect(resolve("org/repo", { env: { HF_ENDPOINT: "hub.test" } })).rejects.toThrow("HF_ENDPOINT is");
});
