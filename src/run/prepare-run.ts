import type { Edit, EditRecord } from "../core/edits.ts";
import type { Engine, EngineCall } from "../core/engine.ts";
import { RequestError } from "../core/errors.ts";
import { largest } from "../core/extremes.ts";
import type { ModelInfo } from "../core/model-info.ts";
import { type Plan, type PlanOptions, planFor, plannedStreams, selectionOf } from "../core/plan.ts";
import type { EngineRequest } from "../core/request.ts";
import { MEAN_TEXT, NO_TOKEN } from "../core/row-means.ts";
import type { RowShapes } from "../core/row-shapes.ts";
import type { RunHeader, SampleInfo } from "../core/sink.ts";
import { type StreamName, streamSpec } from "../core/streams.ts";
import { type GenerateOptions, generationOf } from "./generate-options.ts";
import { encodePrompts, promptEdits, promptLabel, promptSelect } from "./prompts/prompt.ts";
import type { Prompt } from "./prompts/prompt-object.ts";
import { RunEdits, recordedEdits } from "./run-edits.ts";

/** A run that can begin: everything that could be refused before has been looked at. */
export interface PreparedRun {
  readonly requests: readonly EngineRequest[];
  /** What each request was. */
  readonly samples: readonly SampleInfo[];
  readonly plan: Plan;
  /** Samples of each prompt. */
  readonly n: number;
  /** Rows that are kept at most. */
  readonly maxRows: number | null;
  /** The model as the run uses it: edits may say so of fewer experts. */
  readonly model: ModelInfo;
  /** What is changed in the computation of all samples; absent: nothing. */
  readonly edits?: readonly EditRecord[];
}

/**
 * Turn prompts into tokens, and options into a plan.
 *
 * @throws RequestError for an unknown stream or layer, a prompt that is none or is beyond the context; the signal's reason.
 */
export async function prepareRun(
  engine: Engine,
  prompts: Prompt | readonly Prompt[],
  options: PlanOptions & GenerateOptions & { readonly maxRows?: number; readonly edits?: readonly Edit[] },
  call: EngineCall,
): Promise<PreparedRun> {
  call.signal?.throwIfAborted();
  const list = isBatch(prompts) ? prompts : [prompts as Prompt];
  if (list.length === 0) throw new RequestError("INVALID_ARGUMENT", "there are no prompts");
  const streams = plannedStreams(options);
  const { n, ...generation } = generationOf(options);
  const { maxTokens, sampling, logprobs } = generation;
  if (maxTokens > 0) assertGenerates(engine);
  if (logprobs) assertLogprobs(engine);
  const own = list.map(promptEdits);
  const edits = await RunEdits.of(engine, options.edits, own);
  const requests: EngineRequest[] = [];
  const samples: SampleInfo[] = [];
  let index = 0;
  for await (const { tokens, media, spans } of encodePrompts(engine, list, call.signal)) {
    const prompt = list[index]!;
    const where = list.length === 1 ? "the prompt" : `prompt ${index}`;
    const needed = tokens.length + maxTokens;
    if (needed > engine.contextSize)
      throw new RequestError(
        "CONTEXT_OVERFLOW",
        `${where} needs ${needed} tokens of context ` +
          `(${tokens.length} in the prompt, ${maxTokens} to generate), the model was loaded with ` +
          `${engine.contextSize}; load it with a larger contextSize ` +
          `(trained for ${engine.model.contextLength}) or shorten the prompt`,
      );
    const ownSelect = promptSelect(prompt);
    const select = ownSelect && selectionOf({ ...options, select: ownSelect });
    const edited = edits.ofSample(own[index], { sample: index, tokens, maxTokens, where });
    for (let copy = 0; copy < n; copy++) {
      const seed = (sampling.seed + copy) % 2 ** 32;
      requests.push({
        ...{ tokens, maxTokens, sampling: { ...sampling, seed } },
        ...(media && { media }),
        ...(select && { select }),
        ...edited,
        ...(logprobs && { logprobs }),
      });
      samples.push({
        label: promptLabel(prompt),
        promptTokens: tokens.length,
        ...(spans && { media: spans }),
        ...recordedEdits(own[index]),
      });
    }
    index++;
  }
  const shapes = await shapesOf(engine, streams, call);
  const { model } = edits;
  const plan = planFor(model, options, { shapes, keys: largest(requests.map(tokensFed)) });
  warnIfEmpty(engine, streams, shapes);
  return {
    requests,
    samples,
    plan,
    n,
    maxRows: options.maxRows ?? null,
    model,
    ...recordedEdits(options.edits),
  };
}

/** What a sink is told of a run before its first row. */
export function headerOf(
  engine: Engine,
  { requests, samples, plan, n, maxRows, model, edits }: PreparedRun,
): RunHeader {
  const { maxTokens, sampling, logprobs } = requests[0]!;
  const own = requests.some(({ select }) => select !== undefined);
  return {
    engine: { kind: engine.kind, version: engine.version },
    model,
    streams: plan.streams,
    samples,
    ...(edits && { edits }),
    embedding: engine.embedding ?? null,
    tokenText: (id) => (id === NO_TOKEN ? MEAN_TEXT : engine.tokenText(id)),
    request: {
      prompts: requests.map(({ tokens }) => tokens),
      select: plan.select,
      ...(own && { selects: requests.map(({ select }) => select ?? null) }),
      ...(plan.reduce && { reduce: plan.reduce }),
      ...(maxRows !== null && { maxRows }),
      ...(n > 1 && { n }),
      ...(logprobs && { logprobs }),
      topKeys: plan.topKeys,
      maxTokens,
      sampling,
      settings: engine.settings ?? {},
      modelHash: () => engine.modelHash(),
    },
  };
}

/** The last token is drawn, and does not go through the model. */
export const tokensFed = ({ tokens, maxTokens }: EngineRequest) => tokens.length + Math.max(0, maxTokens - 1);

/** A list of prompts, as opposed to one prompt that is itself an array (token ids or chat messages). */
function isBatch(prompts: Prompt | readonly Prompt[]): prompts is readonly Prompt[] {
  if (!Array.isArray(prompts)) return false;
  return !prompts.some(
    (item) => typeof item === "number" || (typeof item === "object" && item !== null && "role" in item),
  );
}

/** @throws RequestError `INVALID_ARGUMENT` with why the model cannot generate as it was loaded. */
function assertGenerates({ task = "generate", causal, model: { name } }: Engine): void {
  if (task === "generate") return;
  throw new RequestError(
    "INVALID_ARGUMENT",
    causal === false
      ? `${name} cannot generate: its attention is not causal (each token sees those after it); leave maxTokens at 0, the prompt only`
      : `${name} was loaded to make embeddings (task "embed") and does not generate; leave maxTokens at 0, or load it with task "generate"`,
  );
}

/** @throws RequestError `INVALID_ARGUMENT`. */
function assertLogprobs({ logprobs, task = "generate", kind }: Engine): void {
  if (logprobs && task === "generate") return;
  const what = task === "generate" ? `${kind} as it was loaded` : "a model that makes embeddings";
  throw new RequestError(
    "INVALID_ARGUMENT",
    `${what} gives no log-probabilities; leave logprobs and promptLogprobs out`,
  );
}

/** What the engine has seen of the streams in the computation. */
async function shapesOf(
  engine: Engine,
  streams: readonly StreamName[],
  call: EngineCall,
): Promise<RowShapes> {
  if (engine.rowShapes) return engine.rowShapes(streams, call);
  const asked = streams.filter((name) => streamSpec(name).toldBy === "engine");
  if (asked.length === 0) return new Map();
  throw new RequestError("UNKNOWN_STREAM", `${engine.kind} has no ${asked.join(", ")}; leave them out`);
}

/** Engines whose user has been told. */
const warned = new WeakSet<Engine>();

function warnIfEmpty(engine: Engine, streams: readonly StreamName[], shapes: RowShapes): void {
  const { name, moe } = engine.model;
  const dense = !moe;
  const empty = streams.filter(
    (stream) => (dense && streamSpec(stream).routed) || shapes.get(stream)?.size === 0,
  );
  if (empty.length === 0 || warned.has(engine)) return;
  warned.add(engine);
  const what = empty.join(", ");
  process.emitWarning(
    dense
      ? `${name} has no MoE layers: ${what} will be empty`
      : `no layer of ${name} has ${what}: it will be empty`,
    { type: "MoescopeWarning", code: dense ? "DENSE_MODEL" : "EMPTY_STREAM" },
  );
}
