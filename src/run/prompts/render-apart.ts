import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { EngineError, RequestError } from "../../core/errors.ts";
import { packageRoot } from "../../core/package-root.ts";
import type { Chat, ChatTemplates } from "./chat-template.ts";

export interface RenderRequest {
  readonly templates: ChatTemplates;
  readonly chat: Chat;
  readonly where: string;
}

export type RenderReply =
  | { readonly ready: true }
  | { readonly text: string }
  | { readonly refused: { readonly code: RequestError["code"]; readonly message: string } }
  | { readonly failed: string };

/** A template stops itself two seconds before; one that is in the middle of something large then is stopped (ms). */
const KILL_MS = 4000;
/** Starting takes a tenth of a second, on a machine that does much else longer. */
const START_MS = 60_000;
/** Heap of the process. Chats of megabytes take a fraction of it. */
const MAX_HEAP_MB = 512;
/** Templates that have a process at a time: programs with more models than that are rare. */
const MAX_PROCESSES = 4;

/** By the model's template, so that one that hangs does not hold up another; the one used last at the end. */
const renderers = new Map<string, Renderer>();

/**
 * The text of a chat, see `renderChat`, from a process of its own: a template comes with a model that nobody may have
 * looked at, and what it does with a long chat is anybody's guess. A thread would not do: V8 ends the whole process when
 * a thread's heap cannot grow.
 *
 * @throws RequestError `INVALID_ARGUMENT` where there is no template, or it does not take the chat, does not come to its
 * end in seconds, or takes more memory than it should.
 */
export function renderApart(templates: ChatTemplates, chat: Chat, where: string): Promise<string> {
  const key = JSON.stringify([templates.template, templates.named]);
  const renderer = renderers.get(key) ?? new Renderer();
  renderers.delete(key);
  renderers.set(key, renderer);
  for (const [oldest, idle] of renderers) {
    if (renderers.size <= MAX_PROCESSES) break;
    if (idle.busy) continue;
    renderers.delete(oldest);
    idle.close();
  }
  return renderer.render({ templates, chat, where });
}

/** One process, with one chat at a time. */
class Renderer {
  #child: ChildProcess | null = null;
  #last: Promise<unknown> = Promise.resolve();
  #waiting = 0;

  get busy(): boolean {
    return this.#waiting > 0;
  }

  render(request: RenderRequest): Promise<string> {
    this.#waiting++;
    const rendered = this.#last.then(() => this.#render(request)).finally(() => this.#waiting--);
    this.#last = rendered.catch(() => {});
    return rendered;
  }

  close(): void {
    this.#child?.kill("SIGKILL");
    this.#child = null;
  }

  async #render(request: RenderRequest): Promise<string> {
    const child = await this.#running();
    hold(child, true);
    try {
      const reply = await ask(child, request, () => this.close());
      if ("text" in reply) return reply.text;
      if ("refused" in reply) throw new RequestError(reply.refused.code, reply.refused.message);
      throw new Error("failed" in reply ? reply.failed : "the process that renders chats makes no sense");
    } finally {
      hold(child, false);
    }
  }

  async #running(): Promise<ChildProcess> {
    if (this.#child) return this.#child;
    const started = spare ?? start();
    spare = null;
    hold(started.child, true);
    const child = await started.ready;
    child.once("exit", () => {
      if (this.#child === child) this.#child = null;
    });
    this.#child = child;
    return child;
  }
}

/** A process that has not been asked for anything yet. */
interface StartedProcess {
  readonly child: ChildProcess;
  /** @throws EngineError `ENGINE_FAILED`, retryable. */
  readonly ready: Promise<ChildProcess>;
}

/** One that waits for the first template. */
let spare: StartedProcess | null = null;

/**
 * A chat is likely to come: the process that renders it starts now, beside the loading of a model, and not when somebody
 * waits for it. It does not keep the program alive.
 */
export function expectChats(): void {
  if (spare || renderers.size > 0) return;
  const started = start();
  spare = started;
  hold(started.child, false);
  const gone = () => {
    if (spare === started) spare = null;
  };
  started.child.once("exit", gone);
  // Whoever needs it starts another one, and hears of that one's failure.
  started.ready.catch(gone);
}

function start(): StartedProcess {
  const child = fork(join(packageRoot, "dist", "run", "template-process.js"), [], {
    // Structured clone, as between threads.
    serialization: "advanced",
    execArgv: [`--max-old-space-size=${MAX_HEAP_MB}`],
    // What is meant for this program, as a debugger's port, is not meant for it.
    env: { ...process.env, NODE_OPTIONS: "", ELECTRON_RUN_AS_NODE: "1" },
    stdio: ["ignore", "ignore", "ignore", "ipc"],
  });
  return { child, ready: untilReady(child) };
}

async function untilReady(child: ChildProcess): Promise<ChildProcess> {
  const over = new AbortController();
  child.once("exit", (code) => over.abort(new Error(`it ended with ${code}`)));
  const timer = setTimeout(() => over.abort(new Error("it takes too long")), START_MS).unref();
  try {
    await once(child, "message", { signal: over.signal });
  } catch (cause) {
    child.kill("SIGKILL");
    throw new EngineError("ENGINE_FAILED", "the process that renders chats does not start; try again", {
      cause,
      retryable: true,
    });
  } finally {
    clearTimeout(timer);
  }
  // From here on an error is one of a process that is about to exit.
  child.on("error", () => {});
  return child;
}

/** Whether this program waits for the process before it ends. */
function hold(child: ChildProcess, held: boolean): void {
  if (held) child.ref();
  else child.unref();
  if (held) child.channel?.ref();
  else child.channel?.unref();
}

/** @param close called for a process that is not to be asked again. */
function ask(child: ChildProcess, request: RenderRequest, close: () => void): Promise<RenderReply> {
  const { where, templates } = request;
  return new Promise((resolve, reject) => {
    const end = (settle: () => void) => {
      clearTimeout(timer);
      child.off("message", answered);
      child.off("exit", exited);
      settle();
    };
    const stop = (why: string) => {
      end(() => reject(invalid(`${where}: the chat template of ${templates.model} ${why}`)));
      close();
    };
    const answered = (reply: RenderReply) => end(() => resolve(reply));
    const exited = () =>
      stop(`needs more than ${MAX_HEAP_MB} MB of memory for these messages, and was stopped`);
    const late = () => stop(`did not come to its end with these messages in ${KILL_MS / 1000} s`);
    const timer = setTimeout(late, KILL_MS);
    child.once("message", answered);
    child.once("exit", exited);
    try {
      child.send(request, (error) => error && end(() => reject(error)));
    } catch (cause) {
      // A function, say, which no template can do anything with.
      end(() => reject(invalid(`${where}: the chat holds what is no JSON: ${(cause as Error).message}`)));
    }
  });
}

const invalid = (message: string) => new RequestError("INVALID_ARGUMENT", message);
