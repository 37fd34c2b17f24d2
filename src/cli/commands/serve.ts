import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { statSync } from "node:fs";
import { basename, join } from "node:path";
import { packageRoot } from "../../core/package-root.ts";
import type { LanguageModel } from "../../run/language-model.ts";
import { expectChats } from "../../run/prompts/render-apart.ts";
import { isLoopback } from "../../server/host/guard.ts";
import { type RunningServer, startServer } from "../../server/host/serve.ts";
import { bold, dim } from "../../views/terminal/parts/paint.ts";
import type { CommandContext } from "../command.ts";
import { openBrowser } from "../open-browser.ts";
import { type LoadFlags, loadOptionsOf } from "../options/load-flags.ts";
import { readPrompts } from "../options/prompt-files.ts";
import { loadWithProgress } from "../run-capture.ts";

/** The options of `moescope serve`, parsed. */
export interface ServeFlags extends LoadFlags {
  readonly host?: string;
  readonly port?: number;
  readonly token?: string;
  readonly allowHost?: readonly string[];
  readonly open: boolean;
  readonly record: boolean;
}

const DEMO = join(packageRoot, "models", "demo");
const DEFAULT_PORT = 7878;

/** `moescope serve [MODEL] [DIR...]`: until Ctrl-C. */
export async function serve(
  references: readonly string[],
  flags: ServeFlags,
  context: CommandContext,
): Promise<void> {
  const folders = references.filter(isFolder);
  const named = references.filter((reference) => !isFolder(reference));
  // With nothing to show the demo model is what there is to see.
  const models = references.length === 0 ? [join(DEMO, "demo-moe.gguf")] : named;
  const host = flags.host ?? "127.0.0.1";
  const token = flags.token ?? (isLoopback(host) ? undefined : randomBytes(18).toString("base64url"));
  const loaded = new Map<string, LanguageModel>();
  try {
    for (const reference of models)
      loaded.set(idOf(reference, loaded), await load(reference, flags, context));
    const server = await startServer({
      folders,
      models: loaded,
      demoPrompts: () => readPrompts(join(DEMO, "prompts.jsonl"), context.stdin),
      host,
      ...(token !== undefined && { token }),
      port: flags.port ?? DEFAULT_PORT,
      // A port that was asked for is the one people bookmark; the usual one gives way.
      anyPort: flags.port === undefined,
      allowHosts: flags.allowHost ?? [],
      record: flags.record,
      onUnexpected: (error) => context.output.note((error as Error).stack ?? String(error)),
    });
    // The models are loaded: it takes nothing from them.
    if (models.length > 0) expectChats();
    try {
      context.output.print(greeting(server, [...loaded.keys()], folders, flags, context));
      if (flags.open) openBrowser(server.url);
      if (!context.signal.aborted) await once(context.signal, "abort");
    } finally {
      context.output.note("Stopping …");
      await server.close();
    }
  } finally {
    await Promise.all([...loaded.values()].map((llm) => llm.close()));
  }
}

const load = (reference: string, flags: ServeFlags, context: CommandContext) =>
  loadWithProgress(reference, loadOptionsOf(flags, reference, context.engines), context);

const isFolder = (reference: string) =>
  statSync(reference, { throwIfNoEntry: false })?.isDirectory() ?? false;

/** What a model is asked for under: the end of its reference, made unique. */
function idOf(reference: string, taken: ReadonlyMap<string, unknown>): string {
  const name = basename(reference.replaceAll(/[:\\]/g, "/")).replace(/\.gguf$/i, "") || "model";
  let id = name;
  for (let n = 2; taken.has(id); n++) id = `${name}-${n}`;
  return id;
}

function greeting(
  { url, capturesInto }: RunningServer,
  models: readonly string[],
  folders: readonly string[],
  { record }: ServeFlags,
  { output: { terminal } }: CommandContext,
): string[] {
  const { depth } = terminal;
  const { origin } = new URL(url);
  return [
    `${bold(depth, "moescope")}  ${url}`,
    "",
    ...models.map((id) => `  model     ${id}`),
    ...folders.map((folder) => `  captures  ${folder}`),
    ...(capturesInto === null
      ? [dim(depth, "  New captures live until the server stops; name a folder to keep them.")]
      : [dim(depth, `  New captures go to ${capturesInto}`)]),
    ...(models.length > 0
      ? [
          "",
          `  Watch an app that speaks OpenAI's API: base URL ${origin}/v1`,
          dim(
            depth,
            record
              ? "  Requests are recorded until the server stops; --no-record switches that off."
              : "  Requests are not recorded.",
          ),
        ]
      : []),
    "",
    dim(depth, "Ctrl-C stops."),
  ];
}
