import { normalized } from "../../../core/embedding.ts";
import { EngineError } from "../../../core/errors.ts";
import type { Plan } from "../../../core/plan.ts";
import type { EngineRequest, Finished } from "../../../core/request.ts";
import { meansOf } from "../../../core/row-sieve.ts";
import { editLayout } from "../edit/edit-layout.ts";
import { RowEdits } from "../edit/row-edits.ts";
import { needsAttentionSteps } from "../graph/graph-taps.ts";
import type { Steps } from "../host/protocol.ts";
import { RowPacker } from "../tap/row-packer.ts";
import { rowSelector } from "../tap/selection.ts";
import { needsOutputRows, targetsOf } from "../tap/targets.ts";
import { type Chunk, type Running, Scheduler } from "./batch.ts";
import { Generation } from "./generation.ts";
import { Logprobs } from "./logprobs.ts";
import { NativeTokens } from "./native-tokens.ts";
import type { Session } from "./session.ts";
import { assertStepFits, stepTokens } from "./step-tokens.ts";

/**
 * Steps are sent this often (ms) where they are quicker, the first at once. Each message wakes the other thread, which
 * costs llama.cpp a core for a moment; a display shows no more than this.
 */
const GATHER_MS = 30;

export interface RunContext {
  readonly session: Session;
  readonly layers: number;
  readonly batchSize: number;
  readonly aborted: () => boolean;
  /** Texts of tokens the other side has not seen. */
  readonly newTokens: (tokens: Iterable<number>) => Steps["newTokens"];
}

/**
 * Run all requests; yields what is to be sent, several steps gathered where they are quick. Ends early without an
 * error when aborted. Always leaves the context empty.
 */
export function* run(
  context: RunContext,
  requests: readonly EngineRequest[],
  plan: Plan,
): Generator<Steps, void, void> {
  const { session } = context;
  const { llama } = session;
  const { embedding, whole, causal } = session.purpose;
  const attention = needsAttentionSteps(plan.streams.map(({ name }) => name));
  session.computeAttention(attention);
  if (whole) assertStepFits(plan, requests);
  const targets = targetsOf(
    plan,
    (tensor, layer) => session.tensors().rowAxes.get(`${tensor}-${layer}`) ?? 1,
  );
  const limits = {
    batchSize: Math.min(context.batchSize, stepTokens(plan, requests)),
    // One sample at a time in a cache that is empty before: cell i then holds position i.
    parallel: attention ? 1 : session.parallel,
    contextSize: session.contextSize,
    whole,
  };
  const scheduler = new Scheduler(requests, limits);
  const packer = new RowPacker(plan);
  const selectRows = rowSelector(plan.select);
  const edits = editLayout(requests, session.routes);
  const rowEdits = edits && new RowEdits(session.routes);
  const means = meansOf(plan, requests);
  const generations = new Map<Running, Generation>();
  const tokens = new NativeTokens(session.stepSize, session.parallel);
  const keepLast = needsOutputRows(plan, context.layers);
  let pending = emptySteps();
  let pendingSince = Number.NEGATIVE_INFINITY;

  const flush = (): Steps => {
    const rows = packer.take();
    if (rows) means?.add(rows);
    const batch = means ? means.end(pending.finished.map(({ sample }) => sample)) : rows;
    const steps = { ...pending, batch };
    const seen = [...steps.drawn.map(({ tokenId }) => tokenId), ...(means ? [] : (rows?.tokenId ?? []))];
    pending = emptySteps();
    return { ...steps, newTokens: context.newTokens(seen) };
  };

  const logprobs = new Logprobs(llama, session.vocabulary.size);
  const cut =
    embedding === null && requests.every(({ maxTokens, logprobs }) => maxTokens === 0 && !logprobs?.prompt);
  /** Layers whose routing no step has shown to be what it should be yet. */
  const unchecked = session.gates.open(plan, edits);
  let taken = session.gates.withChecked(targets, unchecked);
  let ended = session.capture(taken, { cut, edits });
  try {
    for (let chunks = scheduler.next(); chunks.length > 0; chunks = scheduler.next()) {
      const selected = selectRows(chunks);
      const wanted = logprobs.wanted(chunks);
      const capturedTokens = keepLast ? selected.map(({ token }) => token) : [];
      const rows = tokens.fill(chunks, embedding ? "all" : [...capturedTokens, ...wanted]);
      const step = rowEdits ? { ...rows, edits: rowEdits.of(chunks) } : rows;
      if (context.aborted()) return;
      const draws = drawing(chunks);
      session.tap.expect(step);
      session.tap.needOutput(session.context, draws.length > 0 || wanted.length > 0);
      const code = session.compute(tokens.batch);
      if (code === 2 || context.aborted()) return;
      const slots = session.tap.settle(session.context);
      if (code !== 0) throw decodeError(code, chunks);

      if (unchecked.size > 0) session.gates.check(unchecked, slots, { causal, ...step }, edits);
      if (!packer.fits(selected.length)) yield flush();
      packer.add({ selected, slots, causal, ...step });
      logprobs.take(session.context, chunks);
      for (const { running, token } of draws) {
        const generation =
          generations.get(running) ?? new Generation(llama, session.vocabulary, running, logprobs);
        generations.set(running, generation);
        const { token: tokenId, finished } = generation.draw(session.context, token);
        pending.drawn.push({ sample: running.sample, tokenId });
        if (finished) end(running, finished);
      }
      for (const { running } of chunks)
        if (running.request.maxTokens === 0 && running.fed === running.length)
          end(running, promptEnd(running));
      pending.processed += step.tokens;
      if (taken !== targets && unchecked.size === 0) {
        // What was taken for the check alone is not taken again.
        taken = targets;
        ended = session.capture(taken, { cut, edits });
      }

      const now = performance.now();
      if (now - pendingSince >= GATHER_MS) {
        yield flush();
        pendingSince = performance.now();
      }
    }
    yield flush();
    ended();
  } finally {
    for (const generation of generations.values()) generation.free();
    llama.clearMemory(session.memory, false);
  }

  function promptEnd({ sample, sequence, request }: Running): Finished {
    const none = new Float32Array(0);
    const finished = {
      sample,
      tokens: new Int32Array(0),
      text: "",
      reason: "length" as const,
      ...(request.logprobs?.generated && { logprobs: none }),
    };
    if (embedding === null) return finished;
    const values = session.embedding(sequence);
    return { ...finished, embedding: embedding.normalize ? normalized(values) : values };
  }

  function end(running: Running, finished: Finished): void {
    pending.finished.push({ ...finished, ...logprobs.end(running) });
    scheduler.finish(running);
    if (attention) llama.clearMemory(session.memory, false);
    else llama.removeSequence(session.memory, running.sequence, -1, -1);
    generations.get(running)?.free();
    generations.delete(running);
  }
}

/** The samples that have just fed all they know and are to draw, with the index of their last token in the step. */
function drawing(chunks: readonly Chunk[]): { running: Running; token: number }[] {
  const out: { running: Running; token: number }[] = [];
  let token = 0;
  for (const { running, count } of chunks) {
    token += count;
    if (running.request.maxTokens > 0 && running.fed === running.length)
      out.push({ running, token: token - 1 });
  }
  return out;
}

interface PendingSteps {
  drawn: { sample: number; tokenId: number }[];
  finished: Finished[];
  processed: number;
}

function emptySteps(): PendingSteps {
  return { drawn: [], finished: [], processed: 0 };
}

function decodeError(code: number, chunks: readonly Chunk[]): EngineError {
  const samples = chunks.map(({ running }) => running.sample).join(", ");
  return code === 1
    ? new EngineError(
        "OUT_OF_MEMORY",
        `llama.cpp found no room in its key-value cache for sample ${samples}; load with a larger contextSize or parallel: 1`,
      )
    : new EngineError("ENGINE_FAILED", `llama_decode failed with ${code} on sample ${samples}`);
}
