import { join } from "node:path";
import { z } from "zod";
import { given } from "../../core/given.ts";
import type { Prompt, PromptObject } from "../../run/prompts/prompt-object.ts";
import { accepted, events, json as told } from "../host/declaration.ts";
import { EventStream } from "../host/event-stream.ts";
import { json } from "../host/respond.ts";
import { route } from "../host/route.ts";
import { ServerError } from "../host/server-error.ts";
import type { JobListener } from "./job.ts";
import type { Jobs } from "./jobs.ts";
import type { Models } from "./models.ts";
import { assertNoImages } from "./no-images.ts";
import { captureRequest, generateRequest, job, jobEvents, jobList, modelList } from "./schemas.ts";

const tag = "models";
/** Tokens to generate where a request names no number. */
const DEFAULT_TOKENS = 64;
const asked = z.object({ id: z.uuid() });
const EVENTS = events(
  "events `start`, `job`, `tokens` and `end`, and in the live view `dropped`; data is JSON",
  () => z.union(Object.values(jobEvents)),
);

export interface JobParts {
  readonly jobs: Jobs;
  readonly models: Models;
  /** Where new captures go: a folder that was given, else `null` for a recording. */
  readonly capturesInto: string | null;
  /** The labelled texts that come with the demo model. */
  readonly demoPrompts: () => Promise<Prompt[]>;
}

/** What runs on the models. */
export function jobRoutes({ jobs, models, capturesInto, demoPrompts }: JobParts) {
  return [
    route(
      {
        method: "get",
        path: "/api/models",
        tag,
        summary: "The models that are loaded",
        answer: told("the first is the default", () => modelList),
      },
      () => json({ models: models.list(), recording: jobs.recording }),
    ),
    route(
      {
        method: "post",
        path: "/api/generate",
        tag,
        summary: "Run a prompt and stream each token with its routing; closing the connection cancels",
        body: generateRequest,
        answer: EVENTS,
      },
      ({ body: { model: id, prompt, edits, ...options }, c, keep }) => {
        const stream = new EventStream(c);
        const model = models.get(id);
        const maxTokens = model.llm.task === "generate" ? DEFAULT_TOKENS : 0;
        const { job, finished } = jobs.start({
          kind: "generate",
          model,
          prompts: [promptOf(prompt)],
          options: { maxTokens, ...given(options), ...(edits && { edits }) },
          owner: (event, data) => stream.send(data, event),
        });
        keep(finished);
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
        answer: accepted("it waits or runs", () => job),
      },
      async ({ body: { model, name, prompts, edits, ...options }, keep }) => {
        if (name !== undefined && capturesInto === null)
          throw new ServerError(
            "INVALID_REQUEST",
            "a name needs a folder to keep captures in: start with moescope serve MODEL FOLDER",
          );
        const { job, finished } = jobs.start({
          kind: "capture",
          model: models.get(model),
          prompts: prompts === "demo" ? await demoPrompts() : prompts.map(promptOf),
          options: { ...given(options), ...(edits && { edits }) },
          ...(capturesInto !== null && { into: join(capturesInto, name ?? timeName()) }),
        });
        keep(finished);
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
        answer: told("the jobs", () => jobList),
      },
      () => json({ jobs: jobs.list() }),
    ),
    route(
      {
        method: "get",
        path: "/api/jobs/{id}",
        tag,
        summary: "One job",
        asked,
        answer: told("the job", () => job),
      },
      ({ asked }) => json(jobs.get(asked.id).facts()),
    ),
    route(
      {
        method: "get",
        path: "/api/jobs/{id}/events",
        tag,
        summary: "Follow a job to its end",
        asked,
        answer: EVENTS,
      },
      ({ asked, c }) => {
        const followed = jobs.get(asked.id);
        const leave = jobs.admit();
        const stream = new EventStream(c);
        stream.over.then(leave);
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
        asked,
        answer: accepted("it ends within a fraction of a step", () => job),
      },
      ({ asked }) => {
        const cancelled = jobs.get(asked.id);
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
        answer: EVENTS,
      },
      ({ c }) => {
        const leave = jobs.admit();
        const stream = new EventStream(c);
        stream.over.then(leave);
        const stop = jobs.watch(tellLive(stream));
        stream.signal.addEventListener("abort", stop, { once: true });
        return stream.response;
      },
    ),
  ] as const;
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
