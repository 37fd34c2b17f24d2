import { type MessagePort, receiveMessageOnPort } from "node:worker_threads";
import { concatArrays } from "../../../core/concat-arrays.ts";
import { toWire } from "../../../core/wire-error.ts";
import { run } from "../run/run.ts";
import { Session } from "../run/session.ts";
import type { Vocabulary } from "../run/vocabulary.ts";
import {
  CONTROL,
  type FromThread,
  type NewTokens,
  type Reply,
  type ToHost,
  type TokensOfTexts,
  type WorkerOptions,
} from "./protocol.ts";

/** Messages the other side may lag behind before the host waits, and the bytes they may hold together. */
const MAX_MESSAGES_AHEAD = 64;
const MAX_BYTES_AHEAD = 64 << 20;

/** In one message, whatever their number: each costs as much as hundreds of short texts. */
function tokensOf(
  vocabulary: Vocabulary,
  { texts, addSpecial, parseSpecial }: Extract<ToHost, { type: "tokenize" }>,
): TokensOfTexts {
  const lists: Int32Array[] = [];
  for (const [at, text] of texts.entries())
    try {
      lists.push(vocabulary.tokenize(text, addSpecial[at] === 1, parseSpecial[at] === 1));
    } catch (error) {
      return { ids: NONE, lengths: NONE, refused: { at, error: toWire(error) } };
    }
  const lengths = Int32Array.from(lists, ({ length }) => length);
  return { ids: concatArrays(Int32Array, lists), lengths, refused: null };
}

const NONE = new Int32Array(0);

/**
 * Serve one model on this thread: answers requests in order; tokenising is answered between the steps of a run.
 *
 * @param closed called when the model is gone and the port free for another.
 */
export function startHost(port: MessagePort, options: WorkerOptions, closed: () => void): void {
  const send = (message: FromThread, transfer: ArrayBuffer[] = []) => port.postMessage(message, transfer);
  let session: Session;
  try {
    session = Session.open(options);
  } catch (error) {
    send({ type: "error", id: null, error: toWire(error) });
    send({ type: "closed" });
    closed();
    return;
  }
  const control = new Int32Array(options.control);
  const sent = new Set<number>();
  const newTokens = (tokens: Iterable<number>): NewTokens => {
    const fresh: [number, string][] = [];
    for (const token of tokens)
      if (!sent.has(token)) {
        sent.add(token);
        fresh.push([token, session.vocabulary.label(token)]);
      }
    return fresh;
  };
  /** Runs that arrived while another was going on. */
  const waiting: Extract<ToHost, { type: "run" }>[] = [];
  let running = false;
  /** Asked for while a run goes on: the context is in use until the run has ended. */
  let closing = false;

  const handle = (message: ToHost): void => {
    if (message.type === "close") {
      closing = true;
      if (!running) close();
    } else if (message.type === "run") {
      waiting.push(message);
      if (!running) runWaiting();
    } else answer(message);
  };

  const answer = (message: Exclude<ToHost, { type: "run" | "close" }>): void => {
    const { id } = message;
    try {
      if (message.type === "tokenize") {
        const value = tokensOf(session.vocabulary, message);
        send({ type: "reply", id, value, newTokens: newTokens(value.ids) });
        return;
      }
      send({ type: "reply", id, value: replyTo(message), newTokens: [] });
    } catch (error) {
      send({ type: "error", id, error: toWire(error) });
    }
  };

  const replyTo = (message: Extract<ToHost, { type: "detokenize" | "tensors" | "streams" }>): Reply => {
    if (message.type === "detokenize") return session.vocabulary.text(message.tokens);
    session.computeAttention(message.attentionSteps);
    return message.type === "streams" ? session.streams() : session.tensors().list;
  };

  const runWaiting = (): void => {
    running = true;
    for (let message = waiting.shift(); message; message = waiting.shift()) {
      try {
        sendRun(message);
        send({ type: "end", id: message.id });
      } catch (error) {
        send({ type: "error", id: message.id, error: toWire(error) });
      }
    }
    running = false;
    if (closing) close();
  };

  const close = (): void => {
    session.close();
    port.off("message", handle);
    send({ type: "closed" });
    closed();
  };

  const sendRun = ({ id, requests, plan }: Extract<ToHost, { type: "run" }>): void => {
    const aborted = () => Atomics.load(control, CONTROL.aborted) === 1;
    const context = {
      session,
      layers: options.shape.layers,
      batchSize: options.batchSize,
      aborted,
      newTokens,
    };
    /** Sizes of the messages that have not been taken yet, oldest first. */
    const ahead: number[] = [];
    let posted = 0;
    const firstTaken = Atomics.load(control, CONTROL.taken);
    const lag = () => posted - ((Atomics.load(control, CONTROL.taken) - firstTaken) | 0);
    for (const steps of run(context, requests, plan)) {
      const buffer = steps.batch?.sample.buffer as ArrayBuffer | undefined;
      send({ type: "steps", id, steps }, buffer ? [buffer] : []);
      posted++;
      ahead.push(buffer?.byteLength ?? 0);
      poll();
      for (;;) {
        ahead.splice(0, ahead.length - lag());
        const tooFar =
          ahead.length > MAX_MESSAGES_AHEAD || ahead.reduce((sum, size) => sum + size, 0) > MAX_BYTES_AHEAD;
        if (!tooFar || aborted()) break;
        const taken = Atomics.load(control, CONTROL.taken);
        if (ahead.length === lag()) Atomics.wait(control, CONTROL.taken, taken, 100);
        poll();
      }
    }
  };

  /** Answer what came in while a run keeps this thread from its event loop. */
  const poll = (): void => {
    for (let next = receiveMessageOnPort(port); next; next = receiveMessageOnPort(port))
      handle(next.message as ToHost);
  };

  port.on("message", handle);
  send({
    type: "ready",
    ready: {
      version: session.llama.version(),
      gpus: session.gpus.map(({ name, description, type, memory }) => ({ name, description, type, memory })),
      // llama.cpp rounds up; what was asked for is what is promised.
      contextSize: Math.min(options.contextSize, session.contextSize),
      specialTokens: session.vocabulary.special(),
      vocabSize: session.vocabulary.size,
      purpose: session.purpose,
      streams: session.streams(),
      routes: session.routes,
      edits: session.edits,
    },
  });
}
