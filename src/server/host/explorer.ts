import { readdir, readFile } from "node:fs/promises";
import { extname, join, relative, sep } from "node:path";
import { promisify } from "node:util";
import { gzip as gzipCallback } from "node:zlib";
import type { Context } from "hono";

const gzip = promisify(gzipCallback);

/** Types of the files that Vite makes. */
const TYPES: Record<string, string> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".svg": "image/svg+xml",
  ".png": "image/png",
  ".ico": "image/x-icon",
  ".woff2": "font/woff2",
  ".json": "application/json",
  ".webmanifest": "application/manifest+json",
  ".txt": "text/plain; charset=utf-8",
};

interface StaticFile {
  readonly type: string;
  readonly body: Uint8Array<ArrayBuffer>;
  readonly gzipped: Uint8Array<ArrayBuffer>;
  /** Files with a hash in their name never change. */
  readonly immutable: boolean;
}

/** The explorer's files, read once: a request can name one of them and nothing else. */
export type Explorer = ReadonlyMap<string, StaticFile>;

/** @returns an empty map where the explorer was not built. */
export async function loadExplorer(folder: string): Promise<Explorer> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  const files = new Map<string, StaticFile>();
  for (const entry of entries) {
    const type = TYPES[extname(entry.name)];
    if (!entry.isFile() || type === undefined) continue;
    const path = join(entry.parentPath, entry.name);
    const body = new Uint8Array(await readFile(path));
    files.set(`/${relative(folder, path).split(sep).join("/")}`, {
      type,
      body,
      gzipped: new Uint8Array(await gzip(body)),
      immutable: /-[A-Za-z0-9_-]{8,}\.\w+$/.test(entry.name),
    });
  }
  return files;
}

const NOT_BUILT = "The explorer is not built: run npm run build. The API is described at /api/openapi.json\n";

/** A file, or the page itself; its views are behind the `#` and never reach the server. */
export function serveExplorer(explorer: Explorer, c: Context): Response | null {
  const isPage = c.req.path === "/";
  const file = explorer.get(isPage ? "/index.html" : c.req.path);
  if (!file && isPage)
    return new Response(NOT_BUILT, { status: 503, headers: { "content-type": "text/plain; charset=utf-8" } });
  if (!file) return null;
  const compressed = /\bgzip\b(?!\s*;\s*q=0(\.0*)?\s*(,|$))/i.test(c.req.header("accept-encoding") ?? "");
  return new Response(compressed ? file.gzipped : file.body, {
    headers: {
      "content-type": file.type,
      vary: "accept-encoding",
      ...(compressed && { "content-encoding": "gzip" }),
      "cache-control": file.immutable ? "public, max-age=31536000, immutable" : "no-cache",
    },
  });
}
