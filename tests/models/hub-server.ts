import { createHash } from "node:crypto";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface ServedFile {
  readonly path: string;
  readonly content: Buffer;
  /** Small files are kept in git itself and have git's sha1 instead of a sha256. */
  readonly small?: boolean;
  /** What the listing claims instead of the content's checksum. */
  readonly claim?: string;
}

/** One request, as it arrived. */
interface Seen {
  readonly host: "hub" | "cdn";
  readonly path: string;
  readonly range: string | undefined;
  readonly authorization: string | undefined;
}

export interface HubServer extends AsyncDisposable {
  readonly url: string;
  readonly seen: Seen[];
  /** Bytes of file content sent so far. */
  sent: number;
  /** Answer requests to the hub with this instead, for as long as it returns something. */
  refuse: (path: string) => { status: number; headers?: Record<string, string> } | undefined;
  /** Cut the connection after so many bytes of content, one number a request, as soon as they have `arrived`. */
  cuts: number[];
  /** Set by the test: how much of the file the client has. What is on its way in a cut would be lost, or not, by chance. */
  arrived: number;
  /** Fall silent instead of cutting. */
  hang: boolean;
  /** Send everything from the start whatever is asked. */
  ignoreRange: boolean;
  /** Say which part comes, but send another. */
  wrongRange: boolean;
  files: readonly ServedFile[];
  commit: string;
}

/**
 * A server that speaks the Hugging Face Hub's protocol for one repository: model information, the tree in pages, and
 * `resolve`, which sends large files' readers on to another host (here another port) that knows byte ranges.
 */
export async function startHub(repo: string, files: readonly ServedFile[]): Promise<HubServer> {
  const seen: Seen[] = [];
  const note = (host: Seen["host"], { url, headers }: IncomingMessage) =>
    seen.push({ host, path: url!, range: headers.range, authorization: headers.authorization });

  const cdn = await listen((request, response) => {
    note("cdn", request);
    const name = decodeURIComponent(new URL(request.url!, "http://cdn").pathname.slice(1));
    sendContent(hub, request, response, hub.files.find(({ path }) => path === name)!);
  });
  const main = await listen((request, response) => {
    note("hub", request);
    const url = new URL(request.url!, hub.url);
    const refused = hub.refuse(url.pathname);
    if (refused) return response.writeHead(refused.status, refused.headers).end("no");
    const revisions = ["main", "refs/pr/1", hub.commit];
    const { pathname } = url;
    const api = `/api/models/${repo}`;
    if (pathname.startsWith(`${api}/revision/`)) {
      if (!revisions.includes(decodeURIComponent(pathname.slice(`${api}/revision/`.length))))
        return response.writeHead(404, { "X-Error-Code": "RevisionNotFound" }).end();
      return json(response, {
        _id: "1",
        id: repo,
        sha: hub.commit,
        lastModified: "2026-01-01T00:00:00.000Z",
      });
    }
    if (pathname === `${api}/tree/${hub.commit}`) return tree(url, response);
    const [, revision, name] = /^\/resolve\/([^/]+)\/(.+)$/.exec(pathname.replace(`/${repo}`, "")) ?? [];
    if (!revision || !revisions.includes(decodeURIComponent(revision)))
      return response.writeHead(404, { "X-Error-Code": "RepoNotFound" }).end();
    const file = hub.files.find(({ path }) => path === decodeURIComponent(name!));
    if (!file) return response.writeHead(404, { "X-Error-Code": "EntryNotFound" }).end();
    response.setHeader("X-Repo-Commit", hub.commit);
    if (file.small) return sendContent(hub, request, response, file);
    response.writeHead(302, {
      "X-Linked-Etag": `"${etagOf(file)}"`,
      "X-Linked-Size": file.content.length,
      Location: `${addressOf(cdn)}/${encodeURIComponent(file.path)}?signature=1`,
    });
    response.end();
  });

  /** Two entries a page, as the real one does with a thousand. */
  function tree(url: URL, response: ServerResponse): void {
    const from = Number(url.searchParams.get("cursor") ?? 0);
    const entries = [
      { type: "directory", oid: "0".repeat(40), size: 0, path: "folder" },
      ...hub.files.map(entryOf),
    ];
    if (from + 2 < entries.length) {
      url.searchParams.set("cursor", String(from + 2));
      response.setHeader("Link", `<${url.href}>; rel="next"`);
    }
    json(response, entries.slice(from, from + 2));
  }

  const hub: HubServer = {
    url: addressOf(main),
    seen,
    sent: 0,
    refuse: () => undefined,
    cuts: [],
    arrived: 0,
    hang: false,
    ignoreRange: false,
    wrongRange: false,
    files,
    commit: "c0ffee".padEnd(40, "0"),
    async [Symbol.asyncDispose]() {
      for (const server of [main, cdn]) {
        server.closeAllConnections();
        await new Promise((closed) => server.close(closed));
      }
    },
  };
  return hub;
}

function sendContent(
  hub: HubServer,
  request: IncomingMessage,
  response: ServerResponse,
  file: ServedFile,
): void {
  const { content } = file;
  const asked = /^bytes=(\d+)-$/.exec(request.headers.range ?? "");
  const from = asked && !hub.ignoreRange ? Number(asked[1]) : 0;
  const body = content.subarray(from);
  response.setHeader("ETag", `"${file.small ? etagOf(file) : "of-the-cdn"}"`);
  response.setHeader("Content-Length", body.length);
  if (asked && !hub.ignoreRange) {
    const claimed = hub.wrongRange ? from + 1 : from;
    response.setHeader("Content-Range", `bytes ${claimed}-${content.length - 1}/${content.length}`);
    response.writeHead(206);
  } else response.writeHead(200);
  if (request.method === "HEAD") return void response.end();
  const cut = hub.cuts.shift();
  const piece = body.subarray(0, cut ?? body.length);
  hub.sent += piece.length;
  if (cut === undefined) response.end(piece);
  else {
    response.write(piece);
    const poll = setInterval(() => {
      if (hub.hang || hub.arrived < from + piece.length) return;
      response.destroy();
    }, 5);
    response.on("close", () => clearInterval(poll));
  }
}

export function etagOf({ content, small, claim }: ServedFile): string {
  if (claim) return claim;
  if (!small) return createHash("sha256").update(content).digest("hex");
  return createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
}

function entryOf(file: ServedFile) {
  const { path, content, small } = file;
  if (small) return { type: "file", oid: etagOf(file), size: content.length, path };
  const lfs = { oid: etagOf(file), size: content.length, pointerSize: 134 };
  return { type: "file", oid: "a".repeat(40), size: content.length, lfs, xetHash: "b".repeat(64), path };
}

function json(response: ServerResponse, value: unknown): void {
  response.setHeader("Content-Type", "application/json; charset=utf-8");
  response.end(JSON.stringify(value));
}

async function listen(
  handle: (request: IncomingMessage, response: ServerResponse) => unknown,
): Promise<Server> {
  const server = createServer(handle);
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  return server;
}

function addressOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
