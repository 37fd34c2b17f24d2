import type { Plan } from "../../../core/plan.ts";
import { activationOf, type NamedStream, type StreamName } from "../../../core/streams.ts";

/** A stream to take from one layer of a graph. */
export interface TapTarget {
  readonly stream: StreamName;
  readonly layer: number;
}

/** A tensor that a user named; the name is all that is known of it. */
export interface NamedTarget extends TapTarget {
  readonly tensor: string;
  /** Which of several of that name in the layer, in the order of computation, from 1; `null`: it must be the only one. */
  readonly occurrence: number | null;
  /** Axis of the tensor that counts rows; the others make up a row. */
  readonly rowAxis: number;
}

/** What a plan takes from a graph. Plain data. */
export interface Targets {
  /** Streams of the registry: found by structure. */
  readonly proven: readonly (TapTarget & { readonly stream: NamedStream })[];
  /** Found by name. */
  readonly named: readonly NamedTarget[];
}

export const NO_TARGETS: Targets = { proven: [], named: [] };

/** @param rowAxisOf of a tensor that a user named, in a layer; llama.cpp's names say nothing of their axes. */
export function targetsOf(plan: Plan, rowAxisOf: (activation: string, layer: number) => number): Targets {
  const proven: Targets["proven"][number][] = [];
  const named: NamedTarget[] = [];
  for (const { name: stream, layers } of plan.streams) {
    const activation = activationOf(stream);
    for (const layer of layers)
      if (activation === null) proven.push({ stream: stream as NamedStream, layer });
      else named.push({ stream, layer, ...tensorOf(activation), rowAxis: rowAxisOf(activation, layer) });
  }
  return { proven, named };
}

const OCCURRENCE = /^(.+)\.(\d+)$/;

/** `Qcur.2` is the second tensor of the name `Qcur` in a layer. llama.cpp's own names do not end so. */
export function tensorOf(activation: string): Pick<NamedTarget, "tensor" | "occurrence"> {
  const [, tensor, occurrence] = OCCURRENCE.exec(activation) ?? [];
  return tensor === undefined
    ? { tensor: activation, occurrence: null }
    : { tensor, occurrence: Number(occurrence) };
}

/** Whether a plan captures from the layer in which llama.cpp computes only the rows marked as outputs. */
export function needsOutputRows(plan: Plan, layers: number): boolean {
  return plan.streams.some((stream) => stream.layers.includes(layers - 1));
}
