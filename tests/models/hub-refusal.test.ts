import { readdir } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { blobs, expectContent, home, hub, OLMOE, resolve, waits } from "./hub-home.ts";

describe("the server says no", () => {
  const refuse = (status: number, errorCode?: string) => {
    hub.refuse = () => ({ status, headers: errorCode ? { "X-Error-Code": errorCode } : {} });
  };
  test.each([
    [401, "RepoNotFound", "", "no public repository org/repo at .*; check its name, or set HF_TOKEN"],
    [401, undefined, "hf_x", "no repository org/repo at .* that your token may see"],
    [403, "GatedRepo", "hf_x", "org/repo is gated: accept its terms on http.*/org/repo, then set HF_TOKEN"],
    [403, undefined, "hf_x", "forbids access to org/repo with this token"],
    [403, undefined, "", "forbids access to org/repo without a token: set HF_TOKEN"],
    [404, "RepoNotFound", "", "no public repository org/repo"],
    [404, "RevisionNotFound", "", "org/repo has no revision main"],
    [418, undefined, "", "answers 418 for org/repo"],
  ])("%i %s", async (status, errorCode, token, message) => {
    refuse(status, errorCode);
    await expect(resolve("org/repo:Q4_K_M", { env: { HF_TOKEN: token } })).rejects.toMatchObject({
      name: "ModelError",
      retryable: false,
      message: expect.stringMatching(message),
    });
    expect(hub.seen.length).toBe(1);
  });

  test("a gated file of a repository that can be listed", async () => {
    hub.refuse = (path) =>
      path.includes("/resolve/") ? { status: 403, headers: { "X-Error-Code": "GatedRepo" } } : undefined;
    await expect(resolve("org/repo:Q4_K_M")).rejects.toThrow("org/repo is gated");
  });

  test("unknown quantisation, file and revision", async () => {
    await expect(resolve("org/repo:Q2_K")).rejects.toThrow("has no Q2_K; there are: IQ1_S, Q4_K_M, Q8_0");
    await expect(resolve("org/repo/x.gguf")).rejects.toThrow("has no x.gguf; there are: m-Q4_K_M.gguf");
    await expect(resolve("org/repo@nope:Q8_0")).rejects.toThrow("org/repo has no revision nope");
    expect(hub.sent).toBe(0);
  });

  test.each([500, 503, 429])("%i and then yes is tried again", async (status) => {
    let left = 3;
    hub.refuse = () => (left-- > 0 ? { status, headers: { "Retry-After": "2" } } : undefined);
    await expectContent((await resolve("org/repo:Q4_K_M")).path, OLMOE);
    expect(waits).toEqual([2000, 2000, 2000]);
  });

  test("500 for good is given up, and says that another try may help", async () => {
    refuse(500);
    await expect(resolve("org/repo:Q4_K_M")).rejects.toMatchObject({
      code: "MODEL_DOWNLOAD_FAILED",
      retryable: true,
      message: expect.stringContaining("the server answers 500"),
    });
    expect(hub.seen.length).toBe(5);
  });

  test("something that is no Hub", async () => {
    const fetch = async () =>
      new Response("<html>sign in</html>", { headers: { "content-type": "text/html" } });
    await expect(resolve("org/repo", { fetch })).rejects.toThrow("does not answer like a Hugging Face Hub");
  });
});

describe("a hostile server", () => {
  test.each(["../../x-Q4_K_M.gguf", "/x-Q4_K_M.gguf", "a\\..\\x-Q4_K_M.gguf", "C:x-Q4_K_M.gguf"])(
    "cannot name a file %j",
    async (path) => {
      hub.files = [{ path, content: OLMOE }];
      await expect(resolve("org/repo")).rejects.toMatchObject({ code: "MODEL_INVALID" });
      expect(hub.sent).toBe(0);
      expect(await blobs()).toEqual([]);
    },
  );

  test("cannot name a commit or a checksum that is a path", async () => {
    hub.files = [{ path: "m.gguf", content: OLMOE, claim: "../../../evil" }];
    await expect(resolve("org/repo")).rejects.toThrow("does not answer like a Hugging Face Hub");
    hub.commit = "../../../evil";
    await expect(resolve("org/repo")).rejects.toThrow("does not answer like a Hugging Face Hub");
    expect(await readdir(home)).toEqual([]);
  });

  test("cannot send more than it said", async () => {
    const fetch: typeof globalThis.fetch = async (input, init) =>
      String(input).includes("/resolve/")
        ? new Response(new Blob([OLMOE, new Uint8Array(1)]))
        : globalThis.fetch(input, init);
    await expectContent((await resolve("org/repo:Q4_K_M", { fetch })).path, OLMOE);
  });

  test("cannot lead away from an encrypted Hub", async () => {
    const fetch = async () =>
      new Response(null, { status: 302, headers: { location: "http://elsewhere/x" } });
    await expect(resolve("org/repo", { fetch, env: { HF_ENDPOINT: "https://hub.test" } })).rejects.toThrow(
      "redirects to http://elsewhere, which is not encrypted",
    );
  });
});
