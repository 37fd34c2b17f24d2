import { ModelError } from "../../errors.ts";
import { GGML_TYPE, type Llama, type Pointer, type TensorPointer } from "./bindings.ts";
import { graphOf } from "./device-bindings.ts";
import { NativeTokens } from "./native-tokens.ts";
import { SAMPLE } from "./probe-sample.ts";
import { TensorReader } from "./tensor-reader.ts";

/** Which operand of an operation is the mask of its attention. */
const MASKS: Readonly<Record<string, number>> = { SOFT_MAX: 1, FLASH_ATTN_EXT: 3 };
/** `GGML_MAX_SRC`. */
const MAX_SOURCES = 10;
/** What may lie between a mask that llama.cpp fills and the attention that reads it: other layouts, a sum of masks. */
const LAYOUTS = new Set(
  "ADD CONCAT CONT CPY DUP FILL PERMUTE REPEAT RESHAPE SET_ROWS TRANSPOSE VIEW".split(" "),
);
/** `GGML_OP_NONE`. */
const NO_OPERATION = 0;
const TOKENS = 2;
/** 16-bit floats as their bits: all of them up to minus infinity are 0 or less. */
const F16 = { negativeZero: 0x8000, minusInfinity: 0xfc00 } as const;

/**
 * Whether the tokens of a model see only those before them, from the masks of its attention: a step of two tokens is
 * built whose operations are left out, and of each mask that llama.cpp has filled for it the first token's row is read.
 * A file's description and an architecture's name say less: some graphs are not causal whatever the file says.
 *
 * @param makeContext makes a small context with this eval callback; it is freed here.
 * @throws ModelError `MODEL_UNSUPPORTED` when no layer shows it.
 */
export function isCausal(
  llama: Llama,
  model: Pointer,
  makeContext: (callback: Pointer, tokens: number) => Pointer,
): boolean {
  const masks = new MaskReader(llama);
  const callback = llama.registerEval((tensor, ask) => masks.see(tensor, ask));
  try {
    const context = makeContext(callback, TOKENS);
    try {
      const tokens = new NativeTokens(TOKENS, 1);
      const running = { ...SAMPLE, tokens: new Int32Array(TOKENS), length: TOKENS };
      tokens.fill([{ running, from: 0, count: TOKENS }], [0, 1]);
      const compute = llama.hasEncoder(model) ? llama.encode : llama.decode;
      compute(context, tokens.batch);
    } finally {
      llama.freeContext(context);
    }
  } finally {
    llama.unregister(callback);
  }
  if (masks.error) throw masks.error;
  if (masks.seen > 0) return !masks.ahead;
  // Recurrent layers go through the tokens in order.
  if (llama.isRecurrent(model)) return true;
  throw new ModelError(
    "MODEL_UNSUPPORTED",
    "llama.cpp's graph of this model has no attention mask: moescope cannot tell which tokens see which",
  );
}

/** Reads the masks of a graph that is built and not run. */
class MaskReader {
  /** Masks whose first row was read, and whether one lets the first token see the second. */
  seen = 0;
  ahead = false;
  /** Nothing may be thrown into native code. */
  error: unknown = null;
  readonly #llama: Llama;
  readonly #tensors: TensorReader;
  /** Operations of the graph's nodes before they were left out. */
  #ops: ReadonlyMap<TensorPointer, string> | null = null;

  constructor(llama: Llama) {
    this.#llama = llama;
    this.#tensors = new TensorReader(llama.memory);
  }

  /** A node is about to be computed; what a device needs for it is there, and nothing has overwritten it yet. */
  see(t: TensorPointer, ask: boolean): boolean {
    try {
      this.#ops ??= this.#leaveOut(t);
      const operand = ask ? MASKS[this.#ops.get(t) ?? ""] : undefined;
      const mask = operand === undefined ? 0 : this.#tensors.source(t, operand);
      if (mask !== 0) this.#read(mask);
    } catch (error) {
      this.error ??= error;
    }
    return !ask;
  }

  #leaveOut(first: TensorPointer): ReadonlyMap<TensorPointer, string> {
    const names = new Map<number, string>();
    const ops = new Map<TensorPointer, string>();
    for (const t of graphOf(this.#llama, this.#llama.memory, first) ?? []) {
      const op = this.#tensors.op(t);
      if (!names.has(op)) names.set(op, this.#llama.opName(op));
      ops.set(t, names.get(op)!);
      this.#tensors.setOp(t, NO_OPERATION);
    }
    return ops;
  }

  /** A mask that was filled, or those it is made of. */
  #read(t: TensorPointer): void {
    const op = this.#ops!.get(t);
    if (op === undefined) this.#readFilled(t);
    else if (LAYOUTS.has(op))
      for (let i = 0; i < MAX_SOURCES; i++) {
        const source = this.#tensors.source(t, i);
        if (source !== 0) this.#read(source);
      }
  }

  #readFilled(t: TensorPointer): void {
    const keys = this.#tensors.ne(t, 0);
    if (keys < TOKENS || this.#tensors.ne(t, 1) !== TOKENS) return;
    const visible = this.#visible(t, keys);
    if (visible === null || visible === 0) return;
    this.seen++;
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
