import { RequestError } from "./errors.ts";
import type { TensorType } from "./tensor.ts";

/** What one kind of captured tensor is: one value, vector or matrix per (row, layer). */
export interface StreamSpec {
  /** Element type in memory; on disk see `store/`. */
  readonly type: TensorType;
  /** Names of the axes behind `rows`, slowest first. */
  readonly axes: readonly string[];
  /** Whether only MoE layers have it. */
  readonly routed: boolean;
  /**
   * What tells which layers have it, and the sizes of its axes: the model's description, or the engine, which has to
   * look at the computation itself.
   */
  readonly toldBy: "model" | "engine";
  readonly description: string;
}

/**
 * All streams with a name of their own. A new one is an entry here and a tap in each engine that can deliver it;
 * everything between (plan, rows, sinks, files) works from this table.
 */
export const STREAMS = {
  router_logits: {
    type: "float32",
    axes: ["experts"],
    routed: true,
    toldBy: "model",
    description:
      "raw output of the router (its own linear bias included), before selection bias, softmax or sigmoid",
  },
  expert_ids: {
    type: "uint16",
    axes: ["top_k"],
    routed: true,
    toldBy: "model",
    description: "the experts the engine used, in the order it ranked them",
  },
  expert_weights: {
    type: "float32",
    axes: ["top_k"],
    routed: true,
    toldBy: "model",
    description: "the weights it mixed their outputs with, after normalisation and scaling",
  },
  expert_outputs: {
    type: "float32",
    axes: ["top_k", "hidden"],
    routed: true,
    toldBy: "model",
    description:
      "what each of expert_ids put out, before it is multiplied with its weight (Llama 4 weights the input instead)",
  },
  shared_expert_output: {
    type: "float32",
    axes: ["hidden"],
    routed: true,
    toldBy: "engine",
    description: "what the shared experts added together, after their gate where they have one",
  },
  hidden_states: {
    type: "float32",
    axes: ["hidden"],
    routed: false,
    toldBy: "model",
    description: "the residual stream after the layer",
  },
  attention: {
    type: "float32",
    axes: ["heads", "keys"],
    routed: false,
    toldBy: "engine",
    description:
      "attention weights of the row's token over the positions of its sample, 0 beyond itself; with topKeys the largest, falling",
  },
  attention_keys: {
    type: "int32",
    axes: ["heads", "keys"],
    routed: false,
    toldBy: "engine",
    description:
      "with topKeys: the positions that attention has the weights of; -1 where there are none left",
  },
} as const satisfies Record<string, StreamSpec>;

/** A tensor of the engine's computation by the engine's own name for it, e.g. `activation:ffn_norm`. */
export type ActivationName = `activation:${string}`;
/** The streams of the table: those that every engine calls the same. */
export type NamedStream = keyof typeof STREAMS;
/**
 * What can be captured: a name of {@link STREAMS}, or `activation:<name>` for a tensor of the computation by the
 * engine's name.
 *
 * @useDeclaredType
 */
export type StreamName = NamedStream | ActivationName;
/** The element type of a stream, as {@link STREAMS} has it. */
export type StreamType<S extends StreamName> = S extends NamedStream
  ? (typeof STREAMS)[S]["type"]
  : "float32";

export const STREAM_NAMES = Object.keys(STREAMS) as NamedStream[];

/** What is captured when nothing is said: everything about routing, nothing heavy. */
export const DEFAULT_STREAMS = [
  "router_logits",
  "expert_ids",
  "expert_weights",
] as const satisfies readonly StreamName[];

const ACTIVATION = "activation:";
/** Such names are parts of file names, and of lines on a terminal. */
const ACTIVATION_FORM = /^activation:[A-Za-z0-9_.]{1,64}$/;

const ACTIVATION_SPEC = {
  type: "float32",
  axes: [],
  routed: false,
  toldBy: "engine",
  description: "a tensor of the computation, as the engine has it; whole numbers as floats",
} as const satisfies StreamSpec;

export function activationStream(tensor: string): ActivationName {
  return `${ACTIVATION}${tensor}`;
}

/** The engine's name of the tensor, or `null` for a stream of the table. */
export function activationOf(name: StreamName): string | null {
  return name.startsWith(ACTIVATION) ? name.slice(ACTIVATION.length) : null;
}

export function isStreamName(name: string): name is StreamName {
  return Object.hasOwn(STREAMS, name) || ACTIVATION_FORM.test(name);
}

export function streamSpec(name: StreamName): StreamSpec {
  return activationOf(name) === null ? STREAMS[name as NamedStream] : ACTIVATION_SPEC;
}

/**
 * Names of the axes behind `rows`, slowest first.
 *
 * @param rank how many there are, where the stream itself does not say: an engine's tensors have no names for theirs.
 */
export function axesOf(name: StreamName, rank: number): readonly string[] {
  const { axes } = streamSpec(name);
  return axes.length > 0 ? axes : Array.from({ length: rank }, (_, i) => `axis_${i + 1}`);
}

/** @throws RequestError `UNKNOWN_STREAM`. */
export function parseStreams(names: readonly string[]): StreamName[] {
  const unknown = names.find((name) => !isStreamName(name));
  if (unknown !== undefined)
    throw new RequestError(
      "UNKNOWN_STREAM",
      `unknown stream "${unknown}"; the streams are ${STREAM_NAMES.join(", ")} and activation:<tensor>`,
    );
  // Registry order, each once: the same plan however it was written.
  const activations = [...new Set(names)].filter((name) => name.startsWith(ACTIVATION)).sort();
  return [...STREAM_NAMES.filter((name) => names.includes(name)), ...(activations as ActivationName[])];
}
