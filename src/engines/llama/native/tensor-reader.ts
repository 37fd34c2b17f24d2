import type { BufferPointer } from "./device-bindings.ts";
import type { Memory } from "./native-memory.ts";
import type { TensorPointer } from "./pointers.ts";

/** Offsets in bytes of `struct ggml_tensor` (ggml.h); checked against tensors ggml makes itself. */
export const TENSOR = {
  type: 0,
  buffer: 8,
  ne: 16,
  nb: 48,
  op: 80,
  opParams: 84,
  flags: 148,
  src: 152,
  viewSrc: 232,
  viewOffset: 240,
  data: 248,
  name: 256,
  size: 336,
} as const;

/** `GGML_MAX_SRC`: operands a tensor may have. */
export const MAX_SOURCES = 10;
/** `GGML_MAX_NAME`. */
export const NAME_BYTES = 64;

/** Fields of a `ggml_tensor` in place. */
export class TensorReader {
  readonly #memory: Memory;

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  type(t: TensorPointer): number {
    return this.#memory.int32(t + TENSOR.type);
  }
  ne(t: TensorPointer, axis: number): number {
    return this.#memory.uint64(t + TENSOR.ne + 8 * axis);
  }
  nb(t: TensorPointer, axis: number): number {
    return this.#memory.uint64(t + TENSOR.nb + 8 * axis);
  }
  op(t: TensorPointer): number {
    return this.#memory.int32(t + TENSOR.op);
  }
  buffer(t: TensorPointer): BufferPointer {
    return this.#memory.uint64(t + TENSOR.buffer);
  }
  setBuffer(t: TensorPointer, buffer: BufferPointer): void {
    this.#memory.setUint64(t + TENSOR.buffer, buffer);
  }
  setOp(t: TensorPointer, op: number): void {
    this.#memory.setInt32(t + TENSOR.op, op);
  }
  /** The first of `op_params`. */
  parameter(t: TensorPointer): number {
    return this.#memory.int32(t + TENSOR.opParams);
  }
  /** An operand, or 0. */
  source(t: TensorPointer, index = 0): TensorPointer {
    return this.#memory.uint64(t + TENSOR.src + 8 * index);
  }
  setSource(t: TensorPointer, index: number, source: TensorPointer): void {
    this.#memory.setUint64(t + TENSOR.src + 8 * index, source);
  }
  setViewSource(t: TensorPointer, root: TensorPointer): void {
    this.#memory.setUint64(t + TENSOR.viewSrc, root);
  }
  viewSource(t: TensorPointer): TensorPointer {
    return this.#memory.uint64(t + TENSOR.viewSrc);
  }
  viewOffset(t: TensorPointer): number {
    return this.#memory.uint64(t + TENSOR.viewOffset);
  }
  data(t: TensorPointer): number {
    return this.#memory.uint64(t + TENSOR.data);
  }
  setData(t: TensorPointer, address: number): void {
    this.#memory.setUint64(t + TENSOR.data, address);
  }
  addFlag(t: TensorPointer, flag: number): void {
    this.#memory.setInt32(t + TENSOR.flags, this.#memory.int32(t + TENSOR.flags) | flag);
  }
  name(t: TensorPointer): string {
    return this.#memory.text(t + TENSOR.name, NAME_BYTES);
  }
  /**
   * Make a tensor of the shape and type of another, whose values lie one behind the other.
   *
   * @param t {@link TENSOR}.size bytes that are ours.
   */
  make(t: TensorPointer, like: TensorPointer, { op, data, sources }: NewTensor): void {
    for (let at = 0; at < TENSOR.size; at += 8) this.#memory.setUint64(t + at, 0);
    this.#memory.setInt32(t + TENSOR.type, this.type(like));
    this.setBuffer(t, this.buffer(like));
    let step = 4;
    for (let axis = 0; axis < 4; axis++) {
      this.#memory.setUint64(t + TENSOR.ne + 8 * axis, this.ne(like, axis));
      this.#memory.setUint64(t + TENSOR.nb + 8 * axis, step);
      step *= this.ne(like, axis);
    }
    this.setOp(t, op);
    // Among them that it is to be computed, as the other one is.
    this.#memory.setInt32(t + TENSOR.flags, this.#memory.int32(like + TENSOR.flags));
    sources.forEach((source, i) => {
      this.setSource(t, i, source);
    });
    this.setData(t, data);
  }
}

/** What a tensor of our own computes, and where its values of 4 bytes each lie. */
interface NewTensor {
  readonly op: number;
  readonly data: number;
  readonly sources: readonly TensorPointer[];
}
