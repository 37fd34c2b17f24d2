import type { NativeBatch } from "../native/bindings.ts";
import { addressOf } from "../native/native-memory.ts";
import type { StepRows } from "../tap/row-order.ts";
import type { Chunk } from "./batch.ts";

/** Arrays of a `llama_batch` must not lie on the JavaScript heap, where small arrays may move. */
const MIN_BYTES = 128;

/** The `llama_batch` of a run: one set of arrays, filled anew for each step. */
export class NativeTokens {
  readonly batch: NativeBatch;
  readonly #token: Int32Array;
  readonly #position: Int32Array;
  readonly #sequence: BigUint64Array;
  readonly #output: Int8Array;
  readonly #outputIndex: Int32Array;
  /** Address of a cell that holds each sequence id. */
  readonly #cells: readonly bigint[];
  /** Keeps the arrays that native code points to alive. */
  readonly #keep: readonly ArrayBufferView[];

  constructor(capacity: number, sequences: number) {
    const array = <A>(
      ArrayType: { new (buffer: ArrayBuffer): A; BYTES_PER_ELEMENT: number },
      count: number,
    ): A => new ArrayType(new ArrayBuffer(Math.max(MIN_BYTES, count * ArrayType.BYTES_PER_ELEMENT)));
    this.#token = array(Int32Array, capacity);
    this.#position = array(Int32Array, capacity);
    this.#sequence = array(BigUint64Array, capacity);
    this.#output = array(Int8Array, capacity);
    this.#outputIndex = new Int32Array(capacity);
    const ids = array(Int32Array, sequences);
    for (let i = 0; i < sequences; i++) ids[i] = i;
    const first = addressOf(ids);
    this.#cells = Array.from({ length: sequences }, (_, i) => first + BigInt(4 * i));
    const counts = array(Int32Array, capacity).fill(1);
    this.#keep = [ids, counts];
    this.batch = {
      n_tokens: 0,
      token: addressOf(this.#token),
      embd: null,
      pos: addressOf(this.#position),
      n_seq_id: addressOf(counts),
      seq_id: addressOf(this.#sequence),
      logits: addressOf(this.#output),
    };
  }

  /**
   * Lay out a step. Outputs are the rows to capture from the last layer and the last token of each sample that draws; or
   * all rows, as llama.cpp has it where it pools them.
   */
  fill(chunks: readonly Chunk[], captured: readonly number[] | "all"): StepRows {
    let n = 0;
    for (const { running, from, count } of chunks)
      for (let i = 0; i < count; i++, n++) {
        this.#token[n] = running.tokens[from + i]!;
        this.#position[n] = from + i;
        this.#sequence[n] = this.#cells[running.sequence]!;
        const last = from + i === running.length - 1;
        this.#output[n] = last && running.request.maxTokens > 0 ? 1 : 0;
      }
    if (captured === "all") this.#output.fill(1, 0, n);
    else for (const token of captured) this.#output[token] = 1;
    let outputs = 0;
    for (let i = 0; i < n; i++) this.#outputIndex[i] = this.#output[i] ? outputs++ : -1;
    this.batch.n_tokens = n;
    void this.#keep;
    return { tokens: n, tokenIds: this.#token, outputs, outputIndex: this.#outputIndex };
  }
}
