import type { TensorPointer } from "./bindings.ts";
import type { BufferPointer } from "./device-bindings.ts";
import type { Memory } from "./memory.ts";

/** Offsets in bytes of `struct ggml_tensor` (ggml.h); checked against tensors ggml makes itself. */
const TENSOR = {
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
const MAX_SOURCES = 10;

/** What says how a tensor is computed. Pointers are 0 where there is none. */
export interface TensorRecord {
  readonly type: number;
  readonly op: number;
  /** The first of `op_params`. */
  readonly parameter: number;
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  /** Up to the last that is there. */
  readonly sources: readonly TensorPointer[];
  readonly viewSource: TensorPointer;
  readonly viewOffset: number;
}

/** Fields of a `ggml_tensor` in place. */
export class TensorReader {
  readonly #memory: Memory;

  constructor(memory: Memory) {
    this.#memory = memory;
  }

  /** Many fields at once: a graph has thousands of tensors. */
  record(t: TensorPointer): TensorRecord {
    const words = this.#memory.wordsAt(t);
    const first = this.#memory.wordAt(t);
    const int32 = (offset: number) => words[first + (offset >> 2)]!;
    const uint64 = (offset: number) => (int32(offset) >>> 0) + int32(offset + 4) * 2 ** 32;
    const four = (offset: number) => [
      uint64(offset),
      uint64(offset + 8),
      uint64(offset + 16),
      uint64(offset + 24),
    ];
    const sources: TensorPointer[] = [];
    for (let i = 0; i < MAX_SOURCES; i++) {
      const source = uint64(TENSOR.src + 8 * i);
      if (source === 0) continue;
      while (sources.length < i) sources.push(0);
      sources.push(source);
    }
    return {
      type: int32(TENSOR.type),
      op: int32(TENSOR.op),
      parameter: int32(TENSOR.opParams),
      shape: four(TENSOR.ne),
      strides: four(TENSOR.nb),
      sources,
      viewSource: uint64(TENSOR.viewSrc),
      viewOffset: uint64(TENSOR.viewOffset),
    };
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
  /** First operand, or 0. */
  source(t: TensorPointer): TensorPointer {
    return this.#memory.uint64(t + TENSOR.src);
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
    return this.#memory.text(t + TENSOR.name, 64);
  }
}
