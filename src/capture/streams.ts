import { RequestError } from "../errors.ts";
import type { TensorType } from "./tensor.ts";

/** What one kind of captured tensor is: one value vector per (row, layer). */
export interface StreamSpec {
  /** Element type in memory; on disk see `store/`. */
  readonly type: TensorType;
  /** Name of the axis behind `rows`. */
  readonly axis: "experts" | "top_k" | "hidden";
  /** Whether only MoE layers have it. */
  readonly routed: boolean;
  readonly description: string;
}

/**
 * All streams. A new one is an entry here and a tap in each engine that can deliver it; everything between (plan,
 * rows, sinks, files) works from this table.
 */
export const STREAMS = {
  router_logits: {
    type: "float32",
    axis: "experts",
    routed: true,
    description:
      "raw output of the router (its own linear bias included), before selection bias, softmax or sigmoid",
  },
  expert_ids: {
    type: "uint16",
    axis: "top_k",
    routed: true,
    description: "the experts the engine used, in the order it ranked them",
  },
  expert_weights: {
    type: "float32",
    axis: "top_k",
    routed: true,
    description: "the weights it mixed their outputs with, after normalisation and scaling",
  },
  hidden_states: {
    type: "float32",
    axis: "hidden",
    routed: false,
    description: "the residual stream after the layer",
  },
} as const satisfies Record<string, StreamSpec>;

export type StreamName = keyof typeof STREAMS;
export type StreamType<S extends StreamName> = (typeof STREAMS)[S]["type"];

export const STREAM_NAMES = Object.keys(STREAMS) as StreamName[];

/** What is captured when nothing is said: everything about routing, nothing heavy. */
export const DEFAULT_STREAMS: readonly StreamName[] = ["router_logits", "expert_ids", "expert_weights"];

/** @throws RequestError `UNKNOWN_STREAM`. */
export function parseStreams(names: readonly string[]): StreamName[] {
  for (const name of names)
    if (!Object.hasOwn(STREAMS, name))
      throw new RequestError(
        "UNKNOWN_STREAM",
        `unknown stream "${name}"; the streams are ${STREAM_NAMES.join(", ")}`,
      );
  // Registry order, each once: the same plan however it was written.
  return STREAM_NAMES.filter((name) => names.includes(name));
}
