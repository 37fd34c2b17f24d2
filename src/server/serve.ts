import { realpath } from "node:fs/promises";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { createAdaptorServer } from "@hono/node-server";
import { RequestError } from "../errors.ts";
import { packageRoot } from "../package-root.ts";
import { createApp } from "./app.ts";
import type { Root } from "./capture-folders.ts";
import { CaptureLibrary } from "./capture-library.ts";
import { loadExplorer } from "./explorer.ts";
import { isLoopback } from "./guard.ts";

export interface ServeOptions {
  /** Folders whose captures are served: capture folders, or folders that have some in them. */
  readonly folders: readonly string[];
  /** Default 127.0.0.1: this machine only. Another address needs a token. */
  readonly host?: string;
  /** Default 0: any that is free. */
  readonly port?: number;
  readonly token?: string;
  /** Further names the server is reached under. */
  readonly allowHosts?: readonly string[];
}

export interface RunningServer {
  /** To open in a browser, with the token where there is one. */
  readonly url: string;
  readonly port: number;
  /** Ends what is going on and closes everything. */
  close(): Promise<void>;
}

/** Headers must be there within this time (ms), and the whole request within that: slow ones hold a connection. */
const HEADERS_MS = 10_000;
const REQUEST_MS = 30_000;
/** More connections than any browser with a few dozen tabs has. */
const MAX_CONNECTIONS = 1024;

/** @throws RequestError `INVALID_ARGUMENT` for an address without a token, a folder that is not there, a port in use. */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const { host = "127.0.0.1", port = 0, token = null, allowHosts = [] } = options;
  if (!isLoopback(host) && token === null)
    throw new RequestError("INVALID_ARGUMENT", `${host} can be reached by others: a token is needed there`);
  const roots = await Promise.all(options.folders.map(folderRoot));
  const library = new CaptureLibrary(roots, workerScript());
  const app = createApp({
    access: { host, token, names: allowHosts.map((name) => name.toLowerCase()) },
    library,
    explorer: await loadExplorer(join(packageRoot, "dist", "web")),
  });
  const server = createAdaptorServer({
    fetch: app.fetch,
    serverOptions: {
      headersTimeout: HEADERS_MS,
      requestTimeout: REQUEST_MS,
      connectionsCheckingInterval: 1000,
    },
  }) as Server;
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, host, port);
  const address = server.address() as AddressInfo;
  return {
    url: addressOf(host, address.port, token),
    port: address.port,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
      await library.close();
    },
  };
}

async function folderRoot(folder: string): Promise<Root> {
  try {
    return { path: await realpath(folder), origin: "folder" };
  } catch (cause) {
    throw new RequestError("INVALID_ARGUMENT", `there is no folder ${folder}`, { cause });
  }
}

/** The worker runs from the build: also when this file runs from its source, as in tests. */
const workerScript = () => pathToFileURL(join(packageRoot, "dist", "server", "worker.js"));

async function listen(server: Server, host: string, port: number): Promise<void> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const why =
        cause.code === "EADDRINUSE" ? `port ${port} is in use; choose another with --port` : cause.message;
      reject(new RequestError("INVALID_ARGUMENT", `cannot listen on ${host}: ${why}`, { cause }));
    });
    server.listen(port, host, resolve);
  });
}

function addressOf(host: string, port: number, token: string | null): string {
  const anywhere = host === "0.0.0.0" || host === "::";
  const name = anywhere ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host;
  return `http://${name}:${port}/${token === null ? "" : `?token=${encodeURIComponent(token)}`}`;
}
