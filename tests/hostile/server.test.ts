import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, mkdtempSync, readdirSync, statSync, symlinkSync, utimesSync } from "node:fs";
import { request } from "node:http";
import { connect, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it, onTestFinished } from "vitest";
import { JsonBodies } from "../../src/server/host/json-body.ts";
import { JsonCounter } from "../../src/server/host/json-limits.ts";
import { FOLDER_PREFIX } from "../../src/server/jobs/recordings.ts";
import { sweepRecordings } from "../../src/server/jobs/sweep-recordings.ts";
import { allEvents, type Serving, serving, temporaryFolder, until } from "../server/serving.ts";

const HEADERS = { "content-type": "application/json" };
const send = async (server: Serving, path: string, body: string) => {
  const response = await server.get(path, { method: "POST", headers: HEADERS, body });
  const text = await response.text();
  return { status: response.status, code: JSON.parse(text).error?.code as string | undefined, text };
};
const many = (count: number, item: string) => `[${`${item},`.repeat(count - 1)}${item}]`;

const GENERATING = [
  "/v1/completions",
  "/v1/chat/completions",
  "/v1/embeddings",
  "/api/captures",
  "/api/generate",
];

/** Bodies with too much of something, for every field that takes a list, by what they are too much of. */
function bodies(count: number): Record<string, string> {
  return {
    "one-letter prompts": `{"prompt":${many(count, '"a"')},"input":${many(count, '"a"')}}`,
    "prompts of one id": `{"prompt":${many(count, "[1]")},"input":${many(count, "[1]")}}`,
    "numbers as messages": `{"messages":${many(count, "1")}}`,
    "numbers as everything": `{"messages":[{"role":"user","content":"a"}],"tools":${many(count, "1")},"stop":${many(count, "1")}}`,
    messages: `{"messages":${many(count, '{"role":"user","content":"a"}')}}`,
    "empty messages": `{"messages":${many(count, "{}")}}`,
    parts: `{"messages":[{"role":"user","content":${many(count, '"a"')}}]}`,
    captures: `{"prompts":${many(count, '{"prompt":"a"}')}}`,
    layers: `{"prompts":[{"prompt":"a"}],"layers":${many(count, "1")}}`,
    keys: `{"prompt":"a",${Array.from({ length: count }, (_, i) => `"k${i}":0`).join()}}`,
    "keys of a template": `{"messages":[{"role":"user","content":"a"}],"chat_template_kwargs":{${Array.from({ length: count }, (_, i) => `"k${i}":0`).join()}}}`,
    depth: `{"prompt":${"[".repeat(count)}${"]".repeat(count)}}`,
    "depth of objects": `{"prompt":${'{"a":'.repeat(count)}1${"}".repeat(count)}}`,
    brackets: "[".repeat(count),
    quotes: '"'.repeat(count),
    backslashes: `"${"\\".repeat(count)}`,
  };
}

describe("bodies with too much in them", () => {
  it.each(Object.entries(bodies(30_000)))(
    "%s: refused by every route, and the engine never hears of it",
    async (_, body) => {
      const server = await serving();
      for (const path of GENERATING) {
        const { status, code } = await send(server, path, body);
        expect([path, status, code]).toEqual([
          path,
          expect.toSatisfy((of) => of >= 400 && of < 500),
          expect.any(String),
        ]);
      }
      expect(server.engine.steps).toBe(0);
      expect((await server.post("/v1/completions", { prompt: "a", max_tokens: 1 })).status).toBe(200);
    },
  );

  it("go as far as they can be answered", async () => {
    const server = await serving();
    const prompts = Array.from({ length: 2048 }, () => "a");
    const answer = await server.post("/v1/completions", { prompt: prompts, max_tokens: 1 });
    const { choices } = (await answer.json()) as { choices: unknown[] };
    expect([answer.status, choices.length]).toEqual([200, 2048]);
    const more = await send(server, "/v1/completions", JSON.stringify({ prompt: [...prompts, "a"] }));
    expect([more.status, more.text]).toEqual([400, expect.stringContaining("the limit is 2048")]);
    const long = await send(server, "/v1/completions", JSON.stringify({ prompt: "a".repeat(4 << 20) }));
    expect([long.status, long.code]).toEqual([400, "context_length_exceeded"]);
    const ids = await send(server, "/v1/completions", `{"prompt":${many(290_000, "1")}}`);
    expect([ids.status, ids.code]).toEqual([400, "context_length_exceeded"]);
  });

  it("are counted in pieces of any size, whatever is in texts", () => {
    const text = JSON.stringify({
      a: [1, -2.5e-3, true, null, 'x"[{,:\\', "\\", { b: {}, c: "1,2" }],
      'k\\"': [[], [[]]],
    });
    const bytes = new TextEncoder().encode(text);
    const limits = { bytes: 1000, depth: 4, numbers: 2, values: 13, keys: 4, keysOfObject: 2 };
    for (const size of [1, 2, 3, 7, bytes.length]) {
      const count = (limits: ConstructorParameters<typeof JsonCounter>[0]) => () => {
        const counter = new JsonCounter(limits);
        for (let at = 0; at < bytes.length; at += size) counter.add(bytes.subarray(at, at + size));
      };
      // Just enough, and one too few of each.
      expect(count(limits)).not.toThrow();
      for (const name of ["depth", "numbers", "keys", "keysOfObject"] as const)
        expect(count({ ...limits, [name]: limits[name] - 1 }), name).toThrow(/more than/);
      expect(count({ ...limits, values: 8 })).toThrow(/more than 8 texts/);
    }
  });

  it("share a memory that is bounded, and give it back", () => {
    const bodies = new JsonBodies(100);
    bodies.take(60);
    expect(() => bodies.take(50)).toThrow(/too many large requests/);
    bodies.give(60);
    bodies.take(100);
  });
});

describe("clients", () => {
  const unexpected = () => {
    const errors: unknown[] = [];
    return { errors, onUnexpected: (error: unknown) => errors.push(error) };
  };
  const raw = (url: string, text: string): { socket: Socket; heard: Promise<string> } => {
    const socket = connect(Number(new URL(url).port), "127.0.0.1");
    let heard = "";
    socket.on("data", (chunk) => {
      heard += chunk;
    });
    socket.on("error", () => {});
    socket.write(text);
    onTestFinished(() => void socket.destroy());
    return { socket, heard: once(socket, "close").then(() => heard) };
  };

  it("that write whole addresses, or none, are answered and not logged", async () => {
    const log = unexpected();
    const { url } = await serving(log);
    const { host } = new URL(url);
    const ask = (target: string, named = host) =>
      raw(url, `GET ${target} HTTP/1.1\r\nHost: ${named}\r\nConnection: close\r\n\r\n`).heard;
    expect(await ask(`${url}/api/jobs`)).toMatch(/^HTTP\/1.1 200 /);
    // The address is what counts, and it is another's.
    expect(await ask("http://evil.example/api/jobs")).toMatch(/^HTTP\/1.1 403 /);
    for (const target of [
      "http://",
      "http://[::1",
      "http://%",
      "https://127.0.0.1:99999/",
      "ftp://127.0.0.1/",
      "*",
      "api/jobs",
      "/api/captures/%",
      "/api/captures/%ff",
      "/%",
      "http:///api",
    ])
      expect([target, await ask(target)]).toEqual([target, expect.stringMatching(/^HTTP\/1.1 4\d\d /)]);
    expect(await raw(url, "CONNECT 127.0.0.1:1 HTTP/1.1\r\nHost: x\r\n\r\n").heard).not.toMatch(/ 200 /);
    expect(await raw(url, "\0\0\0\r\n\r\n").heard).toMatch(/^HTTP\/1.1 400 /);
    expect(log.errors).toEqual([]);
  });

  it("that leave in the middle of anything are not logged", async () => {
    const log = unexpected();
    const server = await serving(log);
    server.engine.stepMs = 20;
    const { host } = new URL(server.url);
    const post = (path: string, body: string, length = body.length) =>
      raw(
        server.url,
        `POST ${path} HTTP/1.1\r\nHost: ${host}\r\nContent-Type: application/json\r\nContent-Length: ${length}\r\n\r\n${body}`,
      ).socket;
    const body = JSON.stringify({ prompt: "a".repeat(50), max_tokens: 50 });
    for (const leave of [
      () => post("/v1/completions", '{"prompt":', 1000),
      () => post("/v1/completions", body),
      () => post("/v1/completions", body.replace("{", '{"stream":true,')),
      () => post("/api/generate", JSON.stringify({ prompt: { prompt: "a".repeat(50) } })),
    ]) {
      const socket = leave();
      await new Promise((resolve) => setTimeout(resolve, 150));
      socket.destroy();
    }
    await until(() => server.engine.running === 0);
    await new Promise((resolve) => setTimeout(resolve, 100));
    // A job that somebody else cancels is no surprise either.
    const answer = server.post("/v1/completions", { prompt: "a", max_tokens: 500 });
    await until(() => server.engine.running === 1);
    const { jobs } = await server.json<{ jobs: { id: string; state: string }[] }>("/api/jobs");
    await server.get(`/api/jobs/${jobs.find(({ state }) => state === "running")!.id}`, { method: "DELETE" });
    expect((await answer).status).toBe(503);
    expect(log.errors).toEqual([]);
  });

  it("that are slow do not lock others out", async () => {
    const server = await serving({ connections: 20 });
    const slow = Array.from({ length: 60 }, (_, i) =>
      raw(
        server.url,
        i % 2 === 0
          ? "GET /api/jobs HTTP/1.1\r\nHo"
          : "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{",
      ),
    );
    await Promise.all(slow.map(({ socket }) => socket.connecting && once(socket, "connect").catch(() => {})));
    for (let i = 0; i < 5; i++) {
      const answer = await server.get("/api/jobs", { headers: { connection: "close" } });
      expect(answer.status).toBe(200);
    }
    await until(() => slow.filter(({ socket }) => socket.closed).length >= 40);
  });

  it("that wait for their answer are kept, however long it takes", async () => {
    const server = await serving({ connections: 5, patience: 200 });
    server.engine.stepMs = 100;
    const answer = server.post("/v1/completions", { prompt: "a", max_tokens: 10 });
    await until(() => server.engine.running === 1);
    for (let i = 0; i < 20; i++) raw(server.url, "GET / HT");
    expect((await answer).status).toBe(200);
  });

  it("that take nothing of the live view are let go", async () => {
    const server = await serving({ patience: 500 });
    const { host } = new URL(server.url);
    const { socket } = raw(server.url, `GET /api/live HTTP/1.1\r\nHost: ${host}\r\n\r\n`);
    await once(socket, "data");
    socket.pause();
    let left = false;
    socket.once("close", () => {
      left = true;
    });
    // Prompts fill the connection and what waits for it.
    const text = "x".repeat(1500);
    for (let i = 0; i < 400 && !left; i++) {
      await server.post("/v1/completions", { prompt: Array(8).fill(text), max_tokens: 1 });
      // Node learns of the end only when it reads.
      if (i % 5 === 4) left ||= !(await isWatched(server));
    }
    expect(left || !(await isWatched(server))).toBe(true);
  }, 120_000);

  /** Whether anybody watches jobs, by how many more may. */
  async function isWatched(server: Serving): Promise<boolean> {
    const others: { close(): void }[] = [];
    let refused = false;
    for (let i = 0; i < 128; i++) {
      const status = await new Promise<number>((resolve, reject) => {
        const sent = request(`${server.url}/api/live`, (response) => {
          others.push({ close: () => response.destroy() });
          resolve(response.statusCode!);
        });
        sent.on("error", reject).end();
      });
      if (status === 503) {
        refused = true;
        break;
      }
    }
    for (const other of others) other.close();
    await new Promise((resolve) => setTimeout(resolve, 100));
    return refused;
  }
});

describe("recordings", () => {
  const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith(FOLDER_PREFIX));

  it("are readable by their user alone", async () => {
    const before = new Set(folders());
    const server = await serving();
    await server.post("/v1/completions", { prompt: "a secret", max_tokens: 1 });
    const [made] = folders().filter((name) => !before.has(name));
    expect(statSync(join(tmpdir(), made!)).mode & 0o777).toBe(0o700);
    await server.close();
    expect(existsSync(join(tmpdir(), made!))).toBe(false);
  });

  it("of a killed server are swept by the next, and nothing else is", async () => {
    const parent = temporaryFolder();
    const make = (name: string) => {
      const path = join(parent, name);
      mkdirSync(path);
      return path;
    };
    // A server that was killed.
    const killed = spawn(
      process.execPath,
      [join("dist", "cli", "main.js"), "serve", temporaryFolder(), "--no-open", "--port", "0"],
      { env: { ...process.env, TMPDIR: parent }, stdio: ["ignore", "pipe", "ignore"] },
    );
    await once(killed.stdout!, "data");
    const [left] = readdirSync(parent).filter((name) => name.startsWith(FOLDER_PREFIX));
    expect(left).toBeDefined();
    await sweepRecordings(parent, FOLDER_PREFIX);
    expect(existsSync(join(parent, left!))).toBe(true);
    killed.kill("SIGKILL");
    await once(killed, "exit");
    // One that is being made, one whose maker died before it took it, others.
    const fresh = make(`${FOLDER_PREFIX}fresh`);
    const old = make(`${FOLDER_PREFIX}old`);
    utimesSync(old, new Date(0), new Date(0));
    const elsewhere = mkdtempSync(join(parent, "precious-"));
    symlinkSync(elsewhere, join(parent, `${FOLDER_PREFIX}link`));
    await sweepRecordings(parent, FOLDER_PREFIX);
    expect(
      [left!, fresh, old].map((path) => existsSync(path.startsWith("/") ? path : join(parent, path))),
    ).toEqual([false, true, false]);
    expect(existsSync(elsewhere)).toBe(true);
  });

  it("stay within their bound during a request, which goes on without", async () => {
    const server = await serving({ recordingBytes: 20_000 });
    const small = await allEvents(
      await server.post("/api/generate", { prompt: { prompt: "small" }, maxTokens: 1 }),
    );
    expect(small.at(-1)!.data.job.capture).not.toBeNull();
    const large = await allEvents(
      await server.post("/api/generate", { prompt: { prompt: "x".repeat(1500) }, maxTokens: 3 }),
    );
    const { job, outputs } = large.at(-1)!.data;
    expect([job.state, job.capture, outputs[0].text.length > 0]).toEqual(["done", null, true]);
    expect(large.filter(({ event }) => event === "tokens").length).toBeGreaterThan(50);
  });

  it("are not made where they are switched off", async () => {
    const server = await serving({ record: false, folders: [] });
    const all = await allEvents(
      await server.post("/api/generate", { prompt: { prompt: "ab" }, maxTokens: 2 }),
    );
    expect(all.at(-1)!.data.job).toMatchObject({ state: "done", capture: null });
    expect(all.some(({ event }) => event === "tokens")).toBe(true);
    expect((await server.post("/v1/completions", { prompt: "a", max_tokens: 1 })).status).toBe(200);
    expect(await server.json("/api/models")).toMatchObject({ recording: null });
    expect(await server.json("/api/captures")).toEqual({ captures: [], broken: [] });
    // A capture is asked for.
    await server.post("/api/captures", { prompts: [{ prompt: "a" }] });
    await until(
      async () => (await server.json<{ captures: object[] }>("/api/captures")).captures.length === 1,
    );
  });

  it("that were asked for and find no room say so", async () => {
    const server = await serving({ recordingBytes: 20_000, folders: [] });
    await server.post("/api/captures", { prompts: [{ prompt: "x".repeat(1500) }] });
    const last = async () =>
      (await server.json<{ jobs: { state: string; error: { code: string } | null }[] }>("/api/jobs"))
        .jobs[0]!;
    await until(async () => (await last()).state === "failed");
    expect((await last()).error).toMatchObject({ code: "TOO_LARGE" });
  });
});
