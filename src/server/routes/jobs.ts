import { join } from "node:path";
import { z } from "zod";
import { given } from "../../core/given.ts";
import type { Prompt, PromptObject } from "../../run/prompts/prompt-object.ts";
import { captureRequest, generateRequest, job, jobEvents, jobList, modelList } from "../api/jobs.ts";
import { EventStream } from "../event-stream.ts";
import type { JobListener } from "../job.ts";
import type { Jobs } from "../jobs.ts";
import type { Models } from "../models.ts";
import { assertNoImages } from "../no-images.ts";
import { json } from "../respond.ts";
import { type Route, route } from "../route.ts";
import { ServerError } from "../server-error.ts";

const tag = "models";
/** Tokens to generate where a request names no number. */
const DEFAULT_TOKENS = 64;
const params = z.object({ id: z.uuid() });
const EVENTS = {
  200: {
    description: "events `start`, `job`, `tokens` and `end`, and in the live view `dropped`; data is JSON",
    type: "text/event-stream",
    schema: z.union(Object.values(jobEvents)),
  },
} as const;

export interface JobParts {
  readonly jobs: Jobs;
  readonly models: Models;
  /** Where new captures go: a folder that was given, else `null` for a recording. */
  readonly capturesInto: string | null;
  /** The labelled texts that come with the demo model. */
  readonly demoPrompts: () => Promise<Prompt[]>;
}

/** What runs on the models. */
export function jobRoutes({ jobs, models, capturesInto, demoPrompts }: JobParts): Route[] {
  return [
    route(
      {
        method: "get",
        path: "/api/models",
        tag,
        summary: "The models that are loaded",
        responses: { 200: { description: "the first is the default", schema: modelList } },
      },
      () => json({ models: models.list() }),
    ),
    route(
      {
        method: "post",
        path: "/api/generate",
        tag,
        summary: "Run a prompt and stream each token with its routing; closing the connection cancels",
        body: generateRequest,
        responses: EVENTS,
      },
      ({ body: { model: id, prompt, ...options }, c }) => {
        const stream = new EventStream(c);
        const model = models.get(id);
        const maxTokens = model.llm.task === "generate" ? DEFAULT_TOKENS : 0;
        const { job, finished } = jobs.start({
          kind: "generate",
          model,
          prompts: [promptOf(prompt)],
          options: { maxTokens, ...given(options) },
          owner: (event, data) => stream.send(data, event),
        });
        stream.signal.addEventListener("abort", () => job.cancel(), { once: true });
        finished.catch(() => {}).finally(() => stream.end());
        return stream.response;
      },
    ),
    route(
      {
        method: "post",
        path: "/api/captures",
        tag,
        summary: "Start a capture; GET /api/jobs/{id}/events tells how far it is",
        body: captureRequest,
        responses: { 202: { description: "it waits or runs", schema: job } },
      },
      async ({ body: { model, name, prompts, ...options } }) => {
        if (name !== undefined && capturesInto === null)
          throw new ServerError(
            "INVALID_REQUEST",
            "a name needs a folder to keep captures in: start with moescope serve MODEL FOLDER",
          );
        const { job, finished } = jobs.start({
          kind: "capture",
          model: models.get(model),
          prompts: prompts === "demo" ? await demoPrompts() : prompts.map(promptOf),
          options: given(options),
          ...(capturesInto !== null && { into: join(capturesInto, name ?? timeName()) }),
        });
        // The job tells.
        finished.catch(() => {});
        return json(job.facts(), 202);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/jobs",
        tag,
        summary: "What runs, waits or ended a while ago, newest first",
        responses: { 200: { description: "the jobs", schema: jobList } },
      },
      () => json({ jobs: jobs.list() }),
    ),
    route(
      {
        method: "get",
        path: "/api/jobs/{id}",
        tag,
        summary: "One job",
        params,
        responses: { 200: { description: "the job", schema: job } },
      },
      ({ params }) => json(jobs.get(params.id).facts()),
    ),
    route(
      {
        method: "get",
        path: "/api/jobs/{id}/events",
        tag,
        summary: "Follow a job to its end",
        params,
        responses: EVENTS,
      },
      ({ params, c }) => {
        const followed = jobs.get(params.id);
        const stream = new EventStream(c);
        if (followed.ended) {
          void stream.send(followed.facts(), "job");
          stream.end();
          return stream.response;
        }
        const tell = tellLive(stream);
        const stop = followed.listen((event, data) => {
          tell(event, data);
          if (event === "end") stream.end();
        });
        stream.signal.addEventListener("abort", stop, { once: true });
        return stream.response;
      },
    ),
    route(
      {
        method: "delete",
        path: "/api/jobs/{id}",
        tag,
        summary: "Cancel a job; rows that were computed stay",
        params,
        responses: { 202: { description: "it ends within a fraction of a step", schema: job } },
      },
      ({ params }) => {
        const cancelled = jobs.get(params.id);
        cancelled.cancel();
        return json(cancelled.facts(), 202);
      },
    ),
    route(
      {
        method: "get",
        path: "/api/live",
        tag,
        summary: "Every job of every client, token by token",
        responses: EVENTS,
      },
      ({ c }) => {
        const stream = new EventStream(c);
        const stop = jobs.watch(tellLive(stream));
        stream.signal.addEventListener("abort", stop, { once: true });
        return stream.response;
      },
    ),
  ];
}

/** Tells what the reader has room for; how much was left out, once there is room again. */
function tellLive(stream: EventStream): JobListener {
  let dropped = 0;
  return (event, data) => {
    if (dropped > 0 && stream.offer({ events: dropped }, "dropped")) dropped = 0;
    if (!stream.offer(data, event)) dropped++;
  };
}

function promptOf({ label, ...prompt }: z.output<typeof generateRequest>["prompt"]): Prompt {
  const given = { ...prompt, label: label ?? null } as PromptObject;
  if (given.messages) assertNoImages(given.messages);
  return given;
}

/** `2026-11-23-16-04-05-123`: sorts by time, and no two are alike. */
const timeName = () => new Date().toISOString().replace(/[T:.]/g, "-").replace("Z", "");
