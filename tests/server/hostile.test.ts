import { copyFileSync, mkdirSync, readdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { connect } from "node:net";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { startServer } from "../../src/server/host/serve.ts";
import type { CaptureList } from "../../src/server/questions/captures.ts";
import { captureInto, type Serving, serving, temporaryFolder } from "./serving.ts";

/** A request with headers and a path that `fetch` would not send. */
const raw = (url: string, path: string, headers: Record<string, string> = {}, method = "GET", body = "") =>
  new Promise<{ status: number; headers: Record<string, unknown>; text: string }>((resolve, reject) => {
    const { hostname, port } = new URL(url);
    const sent = request({ hostname, port, path, method, headers }, (response) => {
      let text = "";
      response.on("data", (chunk) => {
        text += chunk;
      });
      response.on("end", () => resolve({ status: response.statusCode!, headers: response.headers, text }));
    });
    sent.on("error", reject);
    sent.end(body);
  });

const codeOf = ({ text }: { text: string }) => JSON.parse(text).error.code;

describe("other sites", () => {
  it("do not get in under a name of their own", async () => {
    const { url } = await serving();
    const { host } = new URL(url);
    for (const bad of [
      "evil.example",
      "evil.example:80",
      "127.0.0.1.evil.example",
      "0x7f.1",
      "localhost.evil.example",
    ])
      expect([bad, (await raw(url, "/api/captures", { host: bad })).status]).toEqual([bad, 403]);
    // What is no name at all.
    for (const bad of ["[::1", "a b"])
      expect((await raw(url, "/api/captures", { host: bad })).status).toBe(400);
    for (const good of [host, "localhost:1", "127.0.0.1", "[::1]:80", "LOCALHOST"])
      expect([good, (await raw(url, "/api/captures", { host: good })).status]).toEqual([good, 200]);
  });

  it("neither read nor start anything", async () => {
    const { url, engine } = await serving();
    const body = JSON.stringify({ prompt: { prompt: "a" } });
    const json = { "content-type": "application/json", "content-length": `${body.length}` };
    for (const headers of [
      { origin: "https://evil.example" },
      { origin: "null" },
      { origin: url.replace("http:", "ftp:") },
      { "sec-fetch-site": "cross-site" },
      { "sec-fetch-site": "same-site", "sec-fetch-mode": "cors" },
      { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" },
    ] as Record<string, string>[])
      expect(codeOf(await raw(url, "/api/generate", { ...json, ...headers }, "POST", body))).toBe(
        "FORBIDDEN",
      );
    // What a form can send is no JSON.
    for (const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x"])
      expect(codeOf(await raw(url, "/api/generate", { ...json, "content-type": type }, "POST", body))).toBe(
        "INVALID_REQUEST",
      );
    expect(engine.steps).toBe(0);
    const own = await raw(url, "/api/captures", { origin: url });
    expect(own.status).toBe(200);
    expect(own.headers["access-control-allow-origin"]).toBeUndefined();
    const asked = await raw(url, "/api/generate", { "access-control-request-method": "POST" }, "OPTIONS");
    expect(asked.status).toBe(404);
    expect(asked.headers["access-control-allow-origin"]).toBeUndefined();
    // A link to the explorer may be followed.
    const link = await raw(url, "/", { "sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate" });
    expect(link.status).not.toBe(403);
  });

  it("cannot frame the explorer or run scripts in it", async () => {
    const { get } = await serving();
    for (const path of ["/", "/api/captures", "/nothing.js"]) {
      const { headers } = await get(path);
      const policy = headers.get("content-security-policy")!;
      expect(policy).toContain("default-src 'none'");
      expect(policy).toContain("frame-ancestors 'none'");
      expect(policy).not.toMatch(/unsafe|\*/);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
    }
  });
});

describe("the token", () => {
  const token = "a secret, äöü";

  it("is needed on an address that others reach", async () => {
    await expect(startServer({ folders: [], host: "0.0.0.0" })).rejects.toMatchObject({
      code: "INVALID_ARGUMENT",
      message: expect.stringContaining("token"),
    });
  });

  it("is asked of everybody once there is one", async () => {
    const { url } = await serving({ token: "s3cret" });
    for (const path of ["/", "/api/captures", "/api/openapi.json", "/v1/models"]) {
      expect((await raw(url, path)).status).toBe(401);
      const refused = await raw(url, path, { authorization: "Bearer wrong" });
      expect([refused.status, refused.headers["www-authenticate"]]).toEqual([401, 'Bearer realm="moescope"']);
      expect((await raw(url, path, { authorization: "Basic s3cret" })).status).toBe(401);
      expect((await raw(url, path, { cookie: "moescope_token=wrong" })).status).toBe(401);
      expect((await raw(url, path, { authorization: "Bearer s3cret" })).status).not.toBe(401);
    }
    expect((await raw(url, "/api/captures?token=s3cret")).status).toBe(401);
    expect(JSON.parse((await raw(url, "/v1/models")).text)).toMatchObject({
      error: { type: "authentication_error" },
    });
  });

  it("moves from the address into a cookie that scripts cannot read", async () => {
    const { url } = await serving({ token });
    const entered = await raw(url, `/usage?c=1&token=${encodeURIComponent(token)}`);
    expect([entered.status, entered.headers.location]).toEqual([303, "/usage?c=1"]);
    const [cookie] = entered.headers["set-cookie"] as string[];
    expect(cookie).toMatch(/HttpOnly/);
    expect(cookie).toMatch(/SameSite=Strict/);
    expect((await raw(url, "/api/captures", { cookie: cookie!.split(";")[0]! })).status).toBe(200);
    expect((await raw(url, "/?token=wrong")).status).toBe(401);
    // A path that looks like another host stays here.
    const away = await raw(url, "//evil.example/?token=s3cret");
    expect(away.headers.location ?? "/").toMatch(/^\/(?!\/)/);
  });

  it("lets the machine's addresses in, and no other names", async () => {
    const { url } = await serving({ token: "t", allowHosts: ["Box.example"] });
    const bearer = { authorization: "Bearer t" };
    for (const host of ["192.168.1.7:7878", "box.example"])
      expect((await raw(url, "/api/captures", { ...bearer, host })).status).toBe(200);
    expect((await raw(url, "/api/captures", { ...bearer, host: "evil.example" })).status).toBe(403);
  });
});

describe("paths", () => {
  it("lead to nothing outside of the folders", async () => {
    const server = await serving();
    await captureInto(join(server.folder, "run"));
    const { captures } = await server.json<CaptureList>("/api/captures");
    const { id } = captures[0]!;
    for (const path of [
      "/../package.json",
      "/..%2f..%2fpackage.json",
      "/%2e%2e/%2e%2e/etc/passwd",
      "/..\\..\\etc\\passwd",
      "/assets/../../../package.json",
      "//etc/passwd",
      "/etc/passwd%00.html",
      "/api/captures/..",
      "/api/captures/../../etc/passwd",
      "/api/captures/%2e%2e",
      "/api/captures/..%2f..%2fetc",
      `/api/captures/${id}%2f..`,
      `/api/captures/${id}/streams/..%2f..%2fetc%2fpasswd/0`,
      `/api/captures/${id}/streams/__proto__/0`,
      `/api/captures/${id}/rows/constructor`,
      "/api/captures/constructor",
      "/api/captures/__proto__",
    ]) {
      const { status, text } = await raw(server.url, path);
      expect([path, status]).toEqual([
        path,
        expect.toSatisfy((code: number) => [400, 404, 503].includes(code)),
      ]);
      expect(text).not.toMatch(/root:|"name": "moescope"/);
    }
  });

  it("of links out of a folder are not followed", async () => {
    const outside = temporaryFolder();
    await captureInto(join(outside, "secret"));
    const server = await serving();
    symlinkSync(join(outside, "secret"), join(server.folder, "link"));
    // A capture whose values are elsewhere.
    await captureInto(join(server.folder, "run"));
    const file = "expert_ids-00000.safetensors";
    renameSync(join(server.folder, "run", file), join(outside, "values"));
    symlinkSync(join(outside, "values"), join(server.folder, "run", file));
    // One whose manifest is.
    mkdirSync(join(server.folder, "bare"));
    symlinkSync(join(outside, "secret", "manifest.json"), join(server.folder, "bare", "manifest.json"));
    const { captures, broken } = await server.json<CaptureList>("/api/captures");
    expect(captures).toEqual([]);
    expect(broken.map(({ folder }) => folder)).toEqual(["bare", "run"]);
    for (const { message } of broken) expect(message).toContain("outside of the folders");
  });

  it("of damaged captures are told about and harm nobody", async () => {
    const server = await serving();
    await captureInto(join(server.folder, "good"));
    mkdirSync(join(server.folder, "bad"));
    for (const file of readdirSync(join(server.folder, "good")))
      copyFileSync(join(server.folder, "good", file), join(server.folder, "bad", file));
    writeFileSync(join(server.folder, "bad", "router_logits-00000.safetensors"), "short");
    mkdirSync(join(server.folder, "worse"));
    writeFileSync(join(server.folder, "worse", "manifest.json"), "{");
    const { captures, broken } = await server.json<CaptureList>("/api/captures");
    expect(broken).toMatchObject([{ folder: "worse", message: expect.stringContaining("no JSON") }]);
    const bad = captures.find(({ name }) => name === "bad")!;
    const answer = await server.get(`/api/captures/${bad.id}/rows`);
    expect([answer.status, await answer.json()]).toMatchObject([422, { error: { code: "CAPTURE_INVALID" } }]);
    const good = captures.find(({ name }) => name === "good")!;
    expect((await server.get(`/api/captures/${good.id}/rows`)).status).toBe(200);
  });
});

describe("requests that are too much", () => {
  const refused = async (server: Serving, path: string, init?: RequestInit) => {
    const response = await server.get(path, init);
    return [response.status, ((await response.json()) as { error: { code: string } }).error.code];
  };

  it("in bytes are refused, with or without a length", async () => {
    const server = await serving();
    const large = `{"prompts":["${"x".repeat(17 << 20)}"]}`;
    const headers = { "content-type": "application/json" };
    expect(await refused(server, "/api/captures", { method: "POST", headers, body: large })).toEqual([
      413,
      "TOO_LARGE",
    ]);
    const body = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(large));
        controller.close();
      },
    });
    const streamed = { method: "POST", headers, body, duplex: "half" } as RequestInit;
    expect(await refused(server, "/api/captures", streamed)).toEqual([413, "TOO_LARGE"]);
  });

  it("in time are cut off", async () => {
    const { url, get } = await serving({ requestTimeout: 300 });
    const { port } = new URL(url);
    const socket = connect(Number(port), "127.0.0.1");
    const heard = new Promise<string>((resolve) => {
      let text = "";
      socket.on("data", (chunk) => {
        text += chunk;
      });
      socket.on("close", () => resolve(text));
      socket.on("error", () => resolve(text));
    });
    socket.write(
      `POST /api/generate HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nContent-Type: application/json\r\n`,
    );
    socket.write('Content-Length: 1000\r\n\r\n{"prompt":');
    expect(await heard).toMatch(/^(HTTP\/1\.1 408|$)/);
    expect((await get("/api/captures")).status).toBe(200);
  });

  it("or make no sense are refused with what is wrong", async () => {
    const server = await serving();
    await captureInto(join(server.folder, "run"));
    const { captures } = await server.json<CaptureList>("/api/captures");
    const at = `/api/captures/${captures[0]!.id}`;
    for (const path of [
      `${at}/rows?limit=1e9`,
      `${at}/rows?from=-1`,
      `${at}/rows?phase=both`,
      `${at}/rows?layer=1`,
      `${at}/streams/router_logits/1.5`,
      `${at}/map/entropy/99/0`,
      "/api/jobs/7",
      "/api/compare?a=x",
    ])
      expect([path, (await server.get(path)).status]).toEqual([path, 400]);
    for (const body of [
      "{",
      "[]",
      "null",
      '{"prompt":{"prompt":"a"},"extra":1}',
      '{"prompt":{"prompt":""}}',
      '{"prompt":{"prompt":"a"},"maxTokens":-1}',
      '{"prompt":{"prompt":"a"},"maxTokens":1e9}',
      '{"prompt":{"tokenIds":[99999999]}}',
      '{"prompt":{"prompt":"a"},"model":"none"}',
    ]) {
      const headers = { "content-type": "application/json" };
      const response = await server.get("/api/generate", { method: "POST", headers, body });
      const text = await response.text();
      // What only the model can tell comes as the job's end.
      expect([
        body,
        response.status === 200 ? text.includes('"state":"failed"') : response.status < 500,
      ]).toEqual([body, true]);
    }
    for (const name of ["../x", "a/b", "..", ".hidden", "a\\b", "x".repeat(65)])
      expect((await server.post("/api/captures", { prompts: "demo", name })).status).toBe(400);
    expect(server.engine.running).toBe(0);
  });
});
