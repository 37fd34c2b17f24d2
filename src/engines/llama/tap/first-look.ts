import { EngineError, ModelError } from "../../../core/errors.ts";
import type { KnownGraph } from "../graph/known-graphs.ts";
import { GGML_TYPE, type Llama } from "../native/bindings.ts";
import type { Pointer, TensorPointer } from "../native/pointers.ts";
import { MAX_SOURCES, TensorReader } from "../native/tensor-reader.ts";
import { computeStepOf } from "../run/compute-step.ts";
import { NativeTokens } from "../run/native-tokens.ts";
import { SAMPLE } from "../run/probe-sample.ts";
import type { GraphWatcher, Tap } from "./tap.ts";
import { NO_TARGETS } from "./targets.ts";

/** Which operand of an operation is the mask of its attention. */
const MASKS: Readonly<Record<string, number>> = { SOFT_MAX: 1, FLASH_ATTN_EXT: 3 };
/** What may lie between a mask that llama.cpp fills and the attention that reads it: other layouts, a sum of masks. */
const LAYOUTS = new Set(
  "ADD CONCAT CONT CPY DUP FILL PERMUTE REPEAT RESHAPE SET_ROWS TRANSPOSE VIEW".split(" "),
);
/** 16-bit floats as their bits: all of them up to minus infinity are 0 or less. */
const F16 = { negativeZero: 0x8000, minusInfinity: 0xfc00 } as const;

/** `GELU`, `GELU_QUICK`, `GEGLU` and their kin. */
const GELU = /^GEG?LU/;
/** Tokens of the step that is built. */
export const PROBE_TOKENS = 2;

/** What a model's graph says before anything is run. */
export interface FirstLook {
  /** Whether tokens see only those before them. */
  readonly causal: boolean;
  /** Whether something goes through a GELU, which ggml's CPU backend looks up in a table of 16-bit floats. */
  readonly gelu: boolean;
}

/**
 * Build a step of two tokens and leave its operations out. Of each mask that llama.cpp has filled for it the first
 * token's row is read: whether attention is causal. A file's description and an architecture's name say less: some
 * graphs are not causal whatever the file says.
 *
 * @param context is new: no graph has been built in it.
 * @param built is told of the graph.
 * @throws ModelError `MODEL_UNSUPPORTED` when no layer shows it.
 */
export function firstLook(
  llama: Llama,
  model: Pointer,
  tap: Tap,
  context: Pointer,
  built: (known: KnownGraph) => void,
): FirstLook {
  const graph = new GraphLook(llama, built);
  const tokens = new NativeTokens(PROBE_TOKENS, 1);
  const running = { ...SAMPLE, tokens: new Int32Array(PROBE_TOKENS), length: PROBE_TOKENS };
  tokens.fill([{ running, from: 0, count: PROBE_TOKENS }], "all");
  tap.look(graph);
  const code = computeStepOf(llama, model)(context, tokens.batch);
  tap.settle(context);
  tap.setTargets(NO_TARGETS);
  llama.clearMemory(llama.getMemory(context), false);
  if (code !== 0) throw new EngineError("ENGINE_FAILED", `llama.cpp failed with ${code} on a first step`);
  // Without attention, recurrent layers go through the tokens in order.
  if (graph.masks > 0 || llama.isRecurrent(model)) return { causal: !graph.ahead, gelu: graph.gelu };
  throw new ModelError(
    "MODEL_UNSUPPORTED",
    "llama.cpp's graph of this model has no attention mask: moescope cannot tell which tokens see which",
  );
}

/** Looks at a graph that is built and not run. */
class GraphLook implements GraphWatcher {
  /** Masks whose first row was read, and whether one lets the first token see the second. */
  masks = 0;
  ahead = false;
  gelu = false;
  readonly #llama: Llama;
  readonly #tensors: TensorReader;
  /** Operations of the graph's nodes. */
  readonly #ops = new Map<TensorPointer, string>();
  readonly #built: (known: KnownGraph) => void;

  constructor(llama: Llama, built: (known: KnownGraph) => void) {
    this.#llama = llama;
    this.#tensors = new TensorReader(llama.memory);
    this.#built = built;
  }

  built(known: KnownGraph): void {
    const { nodes, op, opNames } = known.taps.graph.parts;
    for (let i = 0; i < nodes.length; i++) {
      const name = opNames[op[i]!]!;
      this.#ops.set(nodes[i]!, name);
      this.gelu ||= GELU.test(name);
    }
    this.#built(known);
  }

  reached(t: TensorPointer): void {
    const operand = MASKS[this.#ops.get(t) ?? ""];
    const mask = operand === undefined ? 0 : this.#tensors.source(t, operand);
    if (mask !== 0) this.#read(mask);
  }

  /** A mask that was filled, or those it is made of; each once, as masks of sparse attention share what they are made of. */
  #read(mask: TensorPointer): void {
    const parts = new Set([mask]);
    for (const part of parts) {
      const op = this.#ops.get(part);
      if (op === undefined) this.#readFilled(part);
      else if (LAYOUTS.has(op))
        for (let i = 0; i < MAX_SOURCES; i++) {
          const source = this.#tensors.source(part, i);
          if (source !== 0) parts.add(source);
        }
    }
  }

  #readFilled(t: TensorPointer): void {
    const keys = this.#tensors.ne(t, 0);
    if (keys < PROBE_TOKENS || this.#tensors.ne(t, 1) !== PROBE_TOKENS) return;
    const visible = this.#visible(t, keys);
    if (visible === null || visible === 0) return;
    this.masks++;
    if (visible > 1) this.ahead = true;
  }

  /** How many keys the first row of a mask lets through; `null` for a tensor that is no mask. */
  #visible(t: TensorPointer, keys: number): number | null {
    const type = this.#tensors.type(t);
    if (type !== GGML_TYPE.F32 && type !== GGML_TYPE.F16) return null;
    const row = type === GGML_TYPE.F32 ? new Float32Array(keys) : new Uint16Array(keys);
    this.#llama.readTensor(t, new Uint8Array(row.buffer), 0, row.byteLength);
    // Added to the scores: minus infinity hides a key, what is between that and 0 is a bias by distance.
    const isBias = (value: number) =>
      type === GGML_TYPE.F32
        ? value <= 0
        : value === 0 || (value >= F16.negativeZero && value <= F16.minusInfinity);
    if (!row.every(isBias)) return null;
    const hidden = type === GGML_TYPE.F32 ? Number.NEGATIVE_INFINITY : F16.minusInfinity;
    return row.filter((value) => value !== hidden).length;
  }
}
