import { signal } from "@preact/signals";
import { append } from "../../../src/core/extremes.ts";
import type { Job, JobEvents, TokenEvent } from "../../../src/server/jobs/schemas.ts";
import type { StreamEvent } from "./event-stream.ts";
import { server } from "./server.ts";

/** A run as far as it is. */
export interface LiveRun {
  readonly job: Job;
  readonly layers: readonly number[];
  readonly experts: number;
  readonly topK: number;
  readonly tokens: readonly TokenEvent[];
  /** The continuation, once it has ended. */
  readonly text: string | null;
  readonly dropped: number;
}

export const liveRun = signal<LiveRun | null>(null);
export const liveError = signal<Error | null>(null);
/** Whether something was sent and has not come to its end. */
export const liveBusy = signal(false);
export const watching = signal(false);

let controller: AbortController | null = null;

export const loadModels = (signal: AbortSignal) => server.get("/api/models", {}, signal);

export interface GenerateInput {
  readonly model: string | null;
  readonly prompt: string;
  readonly messages: readonly { readonly role: string; readonly content: string }[] | null;
  readonly maxTokens: number;
  readonly temperature: number;
}

/** Run a prompt; tokens come as they are computed. */
export async function generate({
  model,
  prompt,
  messages,
  maxTokens,
  temperature,
}: GenerateInput): Promise<string | null> {
  cancelRun();
  const own = new AbortController();
  controller = own;
  liveError.value = null;
  liveBusy.value = true;
  watching.value = false;
  try {
    const events = await server.post(
      "/api/generate",
      {
        ...(model !== null && { model }),
        prompt: messages ? { messages: [...messages] } : { prompt },
        maxTokens,
        temperature,
      },
      own.signal,
    );
    await follow(events, own.signal);
  } catch (error) {
    if (!own.signal.aborted) liveError.value = error as Error;
  } finally {
    if (controller === own) liveBusy.value = false;
  }
  return liveRun.peek()?.text ?? null;
}

/** Show what other clients of the server run, such as apps that use its OpenAI-compatible API. */
export async function watch(): Promise<void> {
  cancelRun();
  const own = new AbortController();
  controller = own;
  liveError.value = null;
  watching.value = true;
  try {
    await follow(await server.get("/api/live", {}, own.signal), own.signal);
  } catch (error) {
    if (!own.signal.aborted) liveError.value = error as Error;
  } finally {
    if (controller === own) watching.value = false;
  }
}

/** Stop what is running or watched; the server notices the closed connection. */
export function cancelRun(): void {
  controller?.abort();
  controller = null;
  liveBusy.value = false;
  watching.value = false;
}

async function follow(events: AsyncGenerator<StreamEvent>, stop: AbortSignal): Promise<void> {
  let waiting: TokenEvent[] = [];
  let scheduled = false;
  // Tokens that come within a frame are drawn together.
  const flush = () => {
    scheduled = false;
    const run = liveRun.peek();
    if (run && waiting.length > 0) liveRun.value = { ...run, tokens: [...run.tokens, ...waiting] };
    waiting = [];
  };
  for await (const { event, data } of events) {
    if (stop.aborted) return;
    const run = liveRun.peek();
    switch (event) {
      case "start": {
        const { job, layers, experts, topK } = JSON.parse(data) as JobEvents["start"];
        waiting = [];
        liveRun.value = { job, layers, experts, topK, tokens: [], text: null, dropped: 0 };
        break;
      }
      case "tokens": {
        const { job, tokens } = JSON.parse(data) as JobEvents["tokens"];
        if (run?.job.id !== job) break;
        // Of several prompts at once, the first.
        append(
          waiting,
          tokens.filter(({ sample }) => sample === 0),
        );
        if (!scheduled) requestAnimationFrame(flush);
        scheduled = true;
        break;
      }
      case "job": {
        const job = JSON.parse(data) as Job;
        if (run?.job.id === job.id) liveRun.value = { ...run, job };
        else if (job.error) throw new Error(job.error.message);
        break;
      }
      case "end": {
        const { job, outputs } = JSON.parse(data) as JobEvents["end"];
        flush();
        const now = liveRun.peek();
        if (job.error) liveError.value = new Error(job.error.message);
        if (now?.job.id === job.id) liveRun.value = { ...now, job, text: outputs[0]?.text ?? "" };
        break;
      }
      case "dropped":
        if (run)
          liveRun.value = {
            ...run,
            dropped: run.dropped + (JSON.parse(data) as JobEvents["dropped"]).events,
          };
        break;
    }
  }
}
