import type { ModelInfo } from "../engines/engine.ts";
import { RequestError } from "../errors.ts";
import { PHASES, type Phase } from "./rows.ts";
import { DEFAULT_STREAMS, parseStreams, STREAMS, type StreamName } from "./streams.ts";

/** Which rows to keep. All conditions must hold; nothing given keeps every row. */
export interface RowSelection {
  readonly phase?: Phase;
  /** 0-based positions in the sample. */
  readonly positions?: Iterable<number>;
  /** The last n rows of each sample that meet the other conditions. */
  readonly last?: number;
}

/** What a user may ask of a capture, before it meets a model. */
export interface PlanOptions {
  /** Default: router logits, expert ids and expert weights. None: the rows' labels and the outputs only. */
  readonly streams?: readonly (StreamName | (string & {}))[];
  /** 0-based layers; negative ones count from the last. Default: every layer that has the stream. */
  readonly layers?: readonly number[];
  readonly select?: RowSelection;
}

/** What an engine has to deliver: per stream the layers, and which rows. Plain data: it crosses threads. */
export interface Plan {
  readonly streams: readonly { readonly name: StreamName; readonly layers: readonly number[] }[];
  readonly select: {
    readonly phase: Phase | null;
    /** Sorted, without repeats; `null`: all. */
    readonly positions: Int32Array | null;
    readonly last: number | null;
  };
}

/**
 * Resolve what was asked for against a model.
 *
 * A dense model keeps its router streams with no layers: they come back as empty Maps.
 *
 * @throws RequestError `UNKNOWN_STREAM`, `UNKNOWN_LAYER` or `INVALID_ARGUMENT`, naming what the model has.
 */
export function planFor(model: ModelInfo, options: PlanOptions = {}): Plan {
  const names = parseStreams(options.streams ?? DEFAULT_STREAMS);
  const moeLayers = model.moe?.layers ?? [];
  const all = Array.from({ length: model.layers }, (_, layer) => layer);
  const wanted = options.layers && resolveLayers(options.layers, model.layers);
  const streams = names.map((name) => {
    const having = STREAMS[name].routed ? moeLayers : all;
    return { name, layers: wanted ? having.filter((layer) => wanted.has(layer)) : [...having] };
  });
  // Only layers that none of the streams has are a mistake; [0, 5] with hidden states and logits is not.
  const orphan = [...(wanted ?? [])].find((layer) => !streams.some((s) => s.layers.includes(layer)));
  if (orphan !== undefined && model.moe && names.length > 0)
    throw new RequestError(
      "UNKNOWN_LAYER",
      `layer ${orphan} is dense and has none of ${names.join(", ")}; the MoE layers are ${ranges(moeLayers)}`,
    );
  return { streams, select: resolveSelection(options.select ?? {}) };
}

function resolveLayers(layers: readonly number[], count: number): Set<number> {
  return new Set(
    layers.map((layer) => {
      const index = layer < 0 ? count + layer : layer;
      if (!Number.isInteger(index) || index < 0 || index >= count)
        throw new RequestError(
          "UNKNOWN_LAYER",
          `unknown layer ${layer}; the model has layers 0 to ${count - 1}`,
        );
      return index;
    }),
  );
}

function resolveSelection({ phase, positions, last }: RowSelection): Plan["select"] {
  if (phase !== undefined && !PHASES.includes(phase))
    throw new RequestError(
      "INVALID_ARGUMENT",
      `unknown phase "${phase}"; the phases are ${PHASES.join(", ")}`,
    );
  if (last !== undefined && !(Number.isInteger(last) && last > 0))
    throw new RequestError("INVALID_ARGUMENT", `last must be a positive whole number, got ${last}`);
  const list = positions && [...new Set(positions)].sort((a, b) => a - b);
  const bad = list?.find((position) => !Number.isInteger(position) || position < 0 || position > 0x7fffffff);
  if (bad !== undefined)
    throw new RequestError("INVALID_ARGUMENT", `positions are whole numbers from 0, got ${bad}`);
  return { phase: phase ?? null, positions: list ? Int32Array.from(list) : null, last: last ?? null };
}

/** `[0, 1, 2, 5]` as `0-2, 5`. */
export function ranges(numbers: readonly number[]): string {
  const parts: string[] = [];
  for (let i = 0; i < numbers.length; ) {
    let end = i;
    while (numbers[end + 1] === numbers[end]! + 1) end++;
    parts.push(end > i ? `${numbers[i]}-${numbers[end]}` : `${numbers[i]}`);
    i = end + 1;
  }
  return parts.join(", ");
}
