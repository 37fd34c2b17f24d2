import { once } from "node:events";
import { realpath } from "node:fs/promises";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { setTimeout } from "node:timers/promises";
import { pathToFileURL } from "node:url";
import { createAdaptorServer } from "@hono/node-server";
import { RequestError } from "../core/errors.ts";
import { packageRoot } from "../core/package-root.ts";
import type { LanguageModel } from "../run/language-model.ts";
import type { Prompt } from "../run/prompts/prompt-object.ts";
import { createApp } from "./app.ts";
import { type Root, versionOf } from "./capture-folders.ts";
import { CaptureLibrary } from "./capture-library.ts";
import { loadExplorer } from "./explorer.ts";
import { isLoopback } from "./guard.ts";
import { Jobs } from "./jobs.ts";
import { Models } from "./models.ts";
import { Recordings } from "./recordings.ts";

export interface ServeOptions {
  /** Folders whose captures are served: capture folders, or folders that have some in them. */
  readonly folders: readonly string[];
  /** Default 127.0.0.1: this machine only. Another address needs a token. */
  readonly host?: string;
  /** Default 0: any that is free. */
  readonly port?: number;
  /** Take any other port when that one is in use. */
  readonly anyPort?: boolean;
  readonly token?: string;
  /** Models that are loaded, by the id they are asked for under; whoever loaded them closes them. */
  readonly models?: ReadonlyMap<string, LanguageModel>;
  /** The labelled texts that come with the demo model. */
  readonly demoPrompts?: () => Promise<Prompt[]>;
  /** Further names the server is reached under. */
  readonly allowHosts?: readonly string[];
  /** Milliseconds for a whole request to arrive; slow ones hold a connection. Default 30,000. */
  readonly requestTimeout?: number;
  /** Told of errors that nobody foresaw, with their stack. */
  readonly onUnexpected?: (error: unknown) => void;
  /** Bytes of recordings that are kept; see {@link Recordings}. */
  readonly recordingBytes?: number;
}

export interface RunningServer {
  /** To open in a browser, with the token where there is one. */
  readonly url: string;
  readonly port: number;
  /** The folder that new captures go to; `null`: they live as long as the server. */
  readonly capturesInto: string | null;
  /** Ends what is going on and closes everything. */
  close(): Promise<void>;
}

/** Prompts for a corpus arrive well within it, also from another machine. */
const REQUEST_MS = 30_000;
/** More connections than any browser with a few dozen tabs has. */
const MAX_CONNECTIONS = 1024;

/** @throws RequestError `INVALID_ARGUMENT` for an address without a token, a folder that is not there, a port in use. */
export async function startServer(options: ServeOptions): Promise<RunningServer> {
  const {
    host = "127.0.0.1",
    port = 0,
    token = null,
    allowHosts = [],
    requestTimeout = REQUEST_MS,
  } = options;
  if (!isLoopback(host) && token === null)
    throw new RequestError("INVALID_ARGUMENT", `${host} can be reached by others: a token is needed there`);
  const roots = await Promise.all(options.folders.map(folderRoot));
  const recordings = await Recordings.create(options.recordingBytes);
  const library = new CaptureLibrary([...roots, recordings.root], workerScript());
  const jobs = new Jobs(library, recordings);
  const capturesInto = await folderForCaptures(roots);
  const app = createApp({
    access: { host, token, names: allowHosts.map((name) => name.toLowerCase()) },
    library,
    jobs,
    models: new Models(options.models ?? new Map()),
    capturesInto,
    demoPrompts: options.demoPrompts ?? (async () => []),
    explorer: await loadExplorer(join(packageRoot, "dist", "web")),
    ...(options.onUnexpected && { onUnexpected: options.onUnexpected }),
  });
  const server = createAdaptorServer({
    fetch: app.fetch,
    serverOptions: {
      headersTimeout: Math.min(10_000, requestTimeout),
      requestTimeout,
      connectionsCheckingInterval: Math.min(1000, requestTimeout),
    },
  }) as Server;
  server.maxConnections = MAX_CONNECTIONS;
  await listen(server, host, port, options.anyPort ?? false);
  const address = server.address() as AddressInfo;
  // The thread that reads starts and the folders' manifests are read while the browser opens.
  library.list().catch(() => {});
  return {
    url: addressOf(host, address.port, token),
    port: address.port,
    capturesInto,
    async close() {
      const closed = new Promise((resolve) => server.close(resolve));
      // Jobs end and tell their clients so; what is still open then is cut off.
      await jobs.close();
      await settle();
      server.closeAllConnections();
      await closed;
      await library.close();
      await recordings.close();
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

/** The first folder that is no capture itself: others can lie in it. */
async function folderForCaptures(roots: readonly Root[]): Promise<string | null> {
  for (const { path } of roots) if ((await versionOf(path)) === null) return path;
  return null;
}

/** Time (ms) for last words to go out. */
const settle = () => setTimeout(50);

/** The worker runs from the build: also when this file runs from its source, as in tests. */
const workerScript = () => pathToFileURL(join(packageRoot, "dist", "server", "worker.js"));

async function listen(server: Server, host: string, port: number, anyPort: boolean): Promise<void> {
  try {
    server.listen(port, host);
    await once(server, "listening");
  } catch (cause) {
    const { code, message } = cause as NodeJS.ErrnoException;
    if (code === "EADDRINUSE" && anyPort) return listen(server, host, 0, false);
    const why = code === "EADDRINUSE" ? `port ${port} is in use; choose another` : message;
    throw new RequestError("INVALID_ARGUMENT", `cannot listen on ${host}: ${why}`, { cause });
  }
}

function addressOf(host: string, port: number, token: string | null): string {
  const anywhere = host === "0.0.0.0" || host === "::";
  const name = anywhere ? "127.0.0.1" : host.includes(":") ? `[${host}]` : host;
  return `http://${name}:${port}/${token === null ? "" : `?token=${encodeURIComponent(token)}`}`;
}
