import { execFileSync } from "node:child_process";
import {
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { createServer as createWebServer } from "node:http";
import { type AddressInfo, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { describe, expect, it, onTestFinished, vi } from "vitest";
import { takeRows } from "../../src/engines/vllm/rows-file.ts";
import { load } from "../../src/run/load.ts";
import { type Behaviour, FakeServer } from "./fake-server.ts";
import { soon } from "./real/processes.ts";
import { plan } from "./rows.ts";

async function serving(behaviour: Behaviour = {}) {
  const server = new FakeServer(behaviour);
  const url = await server.listen();
  onTestFinished(() => server.close());
  return { server, url };
}

function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "moescope-server-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

const logits = { streams: ["router_logits"] } as const;

describe("a vllm serve with the plugin", () => {
  it("streams rows to those who cannot read its files", async () => {
    const { server, url } = await serving();
    const llm = await load(`${url}/v1/`);
    expect(llm.info).toMatchObject({ name: "fake", source: url });
    expect(llm.engine).toEqual({ kind: "vllm", version: "0.31.0" });
    const texts = Array.from({ length: 150 }, (_, i) => `text ${i}`);
    const capture = await llm.capture(["ab", ...texts], { ...logits, maxTokens: 0, seed: 7 });
    expect(capture.complete).toBe(true);
    expect(capture.sample(1).rows.text.join("")).toBe("text 0");
    expect([...capture.routerLogits.get(2)!.data.slice(0, 5)]).toEqual([
      2097, 2097.25, 2097.5, 2097.75, 2098,
    ]);
    // Nothing was asked for; the one token that vLLM draws is not told.
    expect(capture.outputs[0]).toMatchObject({ text: "", reason: "length" });
    const sent = server.requests.find((request) => request.url === "/v1/completions")!;
    expect(sent.body).toMatchObject({ model: "served", max_tokens: 1, seed: 7, prompt: [97, 98] });
    expect(server.told("DELETE")).toEqual(["/v1/moescope/captures/key-0"]);
    expect(await llm.detokenize(await llm.tokenize("é"))).toBe("é");
    await llm.close();
    await expect(llm.capture("ab", logits)).rejects.toMatchObject({ code: "ENGINE_CLOSED" });
  });

  it("hands files over on the same host in a folder of the client's, which goes away", async () => {
    const root = temporaryFolder();
    vi.stubEnv("MOESCOPE_SPOOL", root);
    onTestFinished(() => void vi.unstubAllEnvs());
    const left = [join(root, "moescope-rows-999999999-left"), join(root, "moescope-rows-999999998-new")];
    for (const folder of left) mkdirSync(folder);
    utimesSync(left[0]!, 1, 1);
    const { server, url } = await serving({ spool: join(root, "moescope-1-x") });
    const llm = await load(url);
    const capture = await llm.capture(["ab", "cde"], logits);
    expect(capture.rows.text.join("")).toBe("abcde");
    const { near } = server.requests.find(({ body }) => body.samples)!.body;
    expect(near!.folder.startsWith(join(root, `moescope-rows-${process.pid}-`))).toBe(true);
    expect(near!.nonce).toMatch(/^[0-9a-f]{48}$/);
    expect(readdirSync(root)).toEqual(["moescope-rows-999999998-new"]);
    // A server behind a tunnel does not find the folder.
    const far = await serving({ spool: root, near: false });
    expect((await (await load(far.url)).capture("ab", logits)).rows.text.join("")).toBe("ab");
    expect(readdirSync(root)).toEqual(["moescope-rows-999999998-new"]);
  });

  it("gets images as data URIs, whatever they are to us", async () => {
    const folder = temporaryFolder();
    const path = join(folder, "a.png");
    writeFileSync(path, "pixels");
    const host = createWebServer((request, response) => {
      response.statusCode = request.url === "/b.png" ? 200 : 404;
      response.end("pixels");
    });
    await new Promise<void>((resolve) => host.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void host.close());
    const base = `http://127.0.0.1:${(host.address() as AddressInfo).port}`;
    const { server, url } = await serving({ vision: true });
    const llm = await load(url);
    const image = [path, pathToFileURL(path).href, `${base}/b.png`, "data:image/png;base64,AAAA"];
    const { samples, rows, outputs } = await llm.capture(
      [{ prompt: "a*b****", multiModalData: { image } }, "plain"],
      { ...logits, maxTokens: 1 },
    );
    expect(rows.text.slice(0, 5)).toEqual(["a", "*", "*", "*", "b"]);
    expect(samples[0]!.media!.map(({ offset }) => offset)).toEqual([1, 5, 8, 11, 14]);
    expect(samples[1]!.media).toBeUndefined();
    expect(outputs[0]).toMatchObject({ text: "a", reason: "length" });
    const pixels = `data:image;base64,${Buffer.from("pixels").toString("base64")}`;
    for (const route of ["encode", "completions"]) {
      const sent = server.requests.find((request) => request.url === `/v1/moescope/${route}`)!;
      expect(sent.body.images).toEqual([pixels, pixels, pixels, image[3]]);
    }
    for (const bad of [join(folder, "none.png"), `${base}/none.png`, folder])
      await expect(
        llm.capture({ prompt: "*", multiModalData: { image: bad } }, logits),
      ).rejects.toMatchObject({
        code: "INVALID_ARGUMENT",
        message: expect.stringContaining(`cannot read the image ${bad}`),
      });
    const blind = await load((await serving()).url);
    const shown = { prompt: "*", multiModalData: { image: path } };
    await expect(blind.capture(shown, logits)).rejects.toMatchObject({
      message: expect.stringContaining("takes text only"),
    });
  });

  it("does not get to say where files are read or made", async () => {
    const root = temporaryFolder();
    for (const spool of ["/", "/etc", root, "relative", "", "/dev/zero", "/proc/self/fd/0", "\0"]) {
      vi.stubEnv("TMPDIR", "/nowhere");
      onTestFinished(() => void vi.unstubAllEnvs());
      const { server, url } = await serving({ spool });
      expect((await (await load(url)).capture("ab", logits)).rows.text.join("")).toBe("ab");
      expect(server.requests.find(({ body }) => body.samples)!.body).not.toHaveProperty("near");
    }
    expect(readdirSync(root)).toEqual([]);
    // Nor under another name than this host's own.
    vi.stubEnv("MOESCOPE_SPOOL", root);
    const { server, url } = await serving({ spool: root });
    await (await load(url.replace("127.0.0.1", "0.0.0.0"))).capture("ab", logits);
    expect(server.requests.find(({ body }) => body.samples)!.body).not.toHaveProperty("near");
  });

  it("does not get files read that are not in the client's folder", async () => {
    const root = temporaryFolder();
    const secret = join(root, "secret.safetensors");
    writeFileSync(secret, "secret");
    vi.stubEnv("MOESCOPE_SPOOL", root);
    onTestFinished(() => void vi.unstubAllEnvs());
    const wrong = [
      secret,
      "../secret.safetensors",
      "nonce",
      "",
      ".",
      "a/b.safetensors",
      "\0.safetensors",
      "x".repeat(5000),
    ];
    for (const spool of [root, "/nowhere"])
      for (const names of wrong) {
        const { url } = await serving({ spool, names });
        await expect((await load(url)).capture("ab", logits)).rejects.toMatchObject({
          code: "ENGINE_FAILED",
          message: expect.stringContaining("names a file here that it was not asked for"),
        });
      }
    const { url } = await serving({ spool: root, names: "none.safetensors" });
    await expect((await load(url)).capture("ab", logits)).rejects.toMatchObject({
      message: expect.stringContaining("cannot be read"),
    });
    expect(readdirSync(root)).toEqual(["secret.safetensors"]);
  });

  it.skipIf(process.platform === "win32")("opens plain files only, and waits for none", async () => {
    const folder = temporaryFolder();
    execFileSync("python3", [
      "-c",
      "import os, sys; os.mkfifo(sys.argv[1])",
      join(folder, "pipe.safetensors"),
    ]);
    symlinkSync("/dev/zero", join(folder, "zero.safetensors"));
    mkdirSync(join(folder, "folder.safetensors"));
    for (const name of ["pipe", "zero", "folder", "none"])
      await expect(takeRows(join(folder, `${name}.safetensors`), plan)).rejects.toMatchObject({
        code: "ENGINE_FAILED",
        message: expect.stringContaining("cannot be read"),
      });
    await expect(takeRows("/dev/zero", plan)).rejects.toThrow("it is a device, not a file");
    // A file that is right, reached by a link, and one of another user.
    writeFileSync(join(folder, "there.safetensors"), "not read");
    symlinkSync(join(folder, "there.safetensors"), join(folder, "link.safetensors"));
    await expect(takeRows(join(folder, "link.safetensors"), plan)).rejects.toThrow(
      "it is a link, not a file",
    );
    if (process.getuid?.() === 0) {
      chownSync(join(folder, "there.safetensors"), 12_345, 12_345);
      await expect(takeRows(join(folder, "there.safetensors"), plan)).rejects.toThrow("it is another user's");
    }
  });

  it("asks for its key", async () => {
    const { url } = await serving({ apiKey: "right" });
    vi.stubEnv("VLLM_API_KEY", "");
    onTestFinished(() => void vi.unstubAllEnvs());
    for (const options of [{}, { apiKey: "wrong" }])
      await expect(load(url, options)).rejects.toMatchObject({
        code: "ENGINE_UNAVAILABLE",
        message: expect.stringContaining("wants an API key"),
      });
    await expect((await load(url, { apiKey: "right" })).capture("ab", logits)).resolves.toBeDefined();
    vi.stubEnv("VLLM_API_KEY", "right");
    await expect(load(url)).resolves.toBeDefined();
  });

  it("is told from one without the plugin, of another version, and from no server", async () => {
    const bare = await serving({ plugin: false });
    await expect(load(bare.url)).rejects.toMatchObject({
      code: "ENGINE_UNAVAILABLE",
      message: expect.stringContaining(
        "PYTHONPATH=$(npx moescope plugin-path) VLLM_PLUGINS=moescope vllm serve",
      ),
    });
    const newer = await serving({ protocol: 5 });
    await expect(load(newer.url)).rejects.toMatchObject({
      code: "ENGINE_INCOMPATIBLE",
      message: expect.stringContaining("protocol: speaks another version of the protocol"),
    });
    await bare.server.close();
    await expect(load(bare.url)).rejects.toMatchObject({
      code: "ENGINE_UNAVAILABLE",
      retryable: true,
      message: expect.stringMatching(/no vLLM answers at .*ECONNREFUSED.*is it running/),
    });
    const mute = createServer((socket) => socket.end("SSH-2.0\r\n"));
    await new Promise<void>((resolve) => mute.listen(0, "127.0.0.1", resolve));
    onTestFinished(() => void mute.close());
    const { port } = mute.address() as { port: number };
    await expect(load(`http://127.0.0.1:${port}`)).rejects.toMatchObject({ code: "ENGINE_UNAVAILABLE" });
  });

  it.each([
    [{ ending: "gone" }, { code: "ENGINE_FAILED", retryable: true }],
    [{ ending: "cut" }, { code: "ENGINE_FAILED", retryable: true }],
    [{ ending: "error" }, { code: "OUT_OF_MEMORY", message: "MOESCOPE_SPOOL_BYTES", retryable: true }],
    [{ ending: "nonsense" }, { code: "ENGINE_INCOMPATIBLE" }],
    [{ ending: "another sample" }, { code: "ENGINE_FAILED" }],
    [{ answers: "refused" }, { code: "INVALID_ARGUMENT", message: expect.stringContaining("too long") }],
  ] as const)("ends a capture that fails, and forgets it: %j", async (behaviour, error) => {
    const { server, url } = await serving(behaviour);
    const llm = await load(url);
    await expect(llm.capture(["ab", "cd"], logits)).rejects.toMatchObject(error);
    expect(server.told("DELETE")).toEqual(["/v1/moescope/captures/key-0"]);
    // The connection is as good as before.
    expect(await llm.tokenize("x")).toEqual(Int32Array.of(120));
  });

  const busy = { code: "OUT_OF_MEMORY", message: "1024 captures are open", retryable: true };
  const dead = { code: "ENGINE_FAILED", message: "what writes rows has ended", retryable: false };
  it.each([
    ["capture", 429, { error: busy }, { name: "EngineError", ...busy }],
    ["capture", 503, { error: dead }, { name: "EngineError", ...dead }],
    ["capture", 409, { error: { ...busy, retryable: undefined } }, { ...busy, retryable: false }],
    // vLLM's own, or those of a proxy before it.
    [
      "capture",
      429,
      { error: { message: "slow down", code: 429 } },
      { code: "ENGINE_UNAVAILABLE", retryable: true },
    ],
    ["capture", 503, { detail: "starting" }, { code: "ENGINE_UNAVAILABLE", retryable: true }],
    ["capture", 500, { error: { message: "a bug", code: 500 } }, { code: "ENGINE_FAILED", retryable: false }],
    ["capture", 400, { error: { message: "no", code: 400 } }, { code: "INVALID_ARGUMENT", retryable: false }],
    ["requests", 503, { detail: "overloaded" }, { code: "ENGINE_UNAVAILABLE", retryable: true }],
    [
      "requests",
      500,
      { error: { message: "a bug", code: 500 } },
      { code: "ENGINE_FAILED", retryable: false },
    ],
    ["requests", 401, { error: "Unauthorized" }, { code: "ENGINE_UNAVAILABLE", retryable: false }],
  ] as const)(
    "keeps code and retryable of what %s is answered with: %i %j",
    async (at, status, body, error) => {
      const { url } = await serving({ fails: { at, status, body } });
      const { message, ...rest } = error as { message?: string };
      await expect((await load(url)).capture(["ab", "cd"], logits)).rejects.toMatchObject({
        ...rest,
        ...(message && { message: expect.stringContaining(message) }),
      });
    },
  );

  it("passes on what the plugin refuses", async () => {
    const { url } = await serving();
    await expect((await load(url)).capture("ab", { streams: ["hidden_states"] })).rejects.toMatchObject({
      name: "RequestError",
      code: "UNKNOWN_STREAM",
    });
  });

  it("is told to forget a capture that is aborted, left or closed", async () => {
    const { server, url } = await serving({ answers: "never" });
    const llm = await load(url);
    const asked = (n: number) =>
      soon(() => server.requests.filter((request) => request.url === "/v1/completions").length === n);
    const abort = new AbortController();
    const aborted = llm.capture("ab", { ...logits, signal: abort.signal });
    const failing = expect(aborted).rejects.toThrow("enough");
    expect(await asked(1)).toBe(true);
    abort.abort(new Error("enough"));
    await failing;
    expect(server.told("DELETE")).toHaveLength(1);
    const closed = expect(llm.capture("ab", logits)).rejects.toMatchObject({ code: "ENGINE_CLOSED" });
    expect(await asked(2)).toBe(true);
    await llm.close();
    await closed;
    expect(server.told("DELETE")).toHaveLength(2);
    const other = await serving();
    const early = await load(other.url);
    for await (const _ of early.stream(["ab", "cd"], logits)) break;
    expect(other.server.told("DELETE")).toHaveLength(1);
  });
});
