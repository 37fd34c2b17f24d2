import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, onTestFinished } from "vitest";
import { LanguageModel } from "../../src/run/language-model.ts";
import type { Prompt } from "../../src/run/prompts/prompt-object.ts";
import { type AppParts, apiRoutes } from "../../src/server/host/app.ts";
import { type ServeOptions, startServer } from "../../src/server/host/serve.ts";
import { StepwiseEngine } from "./stepwise-engine.ts";
import { strictly } from "./strictly.ts";

/** A folder that is gone when the test is over. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "moescope-server-"));
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

/** Prompts of two labels, enough of each for a test of specialization. */
export const PROMPTS: readonly Prompt[] = [
  { prompt: "import os", label: "code" },
  { prompt: "The sea is calm.", label: "text" },
  { prompt: "def add(a, b):", label: "code" },
  { prompt: "Rain fell all night long.", label: "text" },
  { prompt: "x = x + 1" },
];

/** Write a capture as the library does. */
export const captureInto = (folder: string, prompts: readonly Prompt[] = PROMPTS, maxTokens = 4) =>
  LanguageModel.of(new StepwiseEngine()).capture(prompts, { into: folder, maxTokens });

export interface Serving {
  readonly url: string;
  readonly engine: StepwiseEngine;
  readonly folder: string;
  get(path: string, init?: RequestInit): Promise<Response>;
  json<T>(path: string, init?: RequestInit): Promise<T>;
  post(path: string, body: unknown, init?: RequestInit): Promise<Response>;
  close(): Promise<void>;
}

/** A server on a free port with one model and one folder, stopped when the test is over. */
export async function serving(options: Partial<ServeOptions> = {}): Promise<Serving> {
  const engine = new StepwiseEngine();
  const folder = options.folders?.[0] ?? temporaryFolder();
  const server = await startServer({
    folders: [folder],
    models: new Map([["fake-moe", LanguageModel.of(engine)]]),
    demoPrompts: async () => PROMPTS.slice(),
    ...options,
  });
  onTestFinished(() => server.close());
  const url = `http://127.0.0.1:${server.port}`;
  const get = (path: string, init?: RequestInit) => fetch(url + path, init);
  return {
    url,
    engine,
    folder,
    get,
    json: async <T>(path: string, init?: RequestInit) => {
      const response = await get(path, init);
      const answer = await response.json();
      if (response.ok) assertAsDeclared(path, init?.method ?? "GET", response.status, answer);
      return answer as T;
    },
    post: (path, body, init = {}) =>
      get(path, {
        method: "POST",
        body: JSON.stringify(body),
        ...init,
        headers: { "content-type": "application/json", ...init.headers },
      }),
    close: () => server.close(),
  };
}

/** Every answer that a test looks at is one that the API's description allows. */
function assertAsDeclared(path: string, method: string, status: number, answer: unknown): void {
  const { pathname } = new URL(path, "http://server");
  const found = apiRoutes({} as AppParts).find(
    ({ spec }) =>
      spec.method === method.toLowerCase() &&
      new RegExp(`^${spec.path.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(pathname),
  );
  if (found?.spec.answer.kind !== "json" || status !== (found.spec.answer.status ?? 200)) return;
  expect([path, strictly(found.spec.answer.schema(), answer)]).toEqual([path, null]);
}

export interface ServerEvent {
  readonly event: string;
  // biome-ignore lint/suspicious/noExplicitAny: what a test expects of it, it says
  readonly data: any;
}

/** The events of a response, as they come. */
export async function* events(response: Response): AsyncGenerator<ServerEvent> {
  let rest = "";
  for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) {
    rest += chunk;
    for (let end = rest.indexOf("\n\n"); end >= 0; end = rest.indexOf("\n\n")) {
      const lines = rest.slice(0, end).split("\n");
      rest = rest.slice(end + 2);
      const data = lines.find((line) => line.startsWith("data: "))?.slice(6);
      if (data === undefined) continue;
      const event = lines.find((line) => line.startsWith("event: "))?.slice(7) ?? "message";
      yield { event, data: data === "[DONE]" ? data : JSON.parse(data) };
    }
  }
}

export async function allEvents(response: Response): Promise<ServerEvent[]> {
  const all: ServerEvent[] = [];
  for await (const event of events(response)) all.push(event);
  return all;
}

/** Wait until something is so. */
export async function until(what: () => boolean | Promise<boolean>): Promise<void> {
  while (!(await what())) await new Promise((resolve) => setTimeout(resolve, 10));
}
