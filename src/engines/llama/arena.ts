import { addressOf } from "./memory.ts";

/** Blocks are at least this large, so that a plan of usual size needs one. */
const MIN_BLOCK_BYTES = 1 << 20;
/** ggml's kernels want tensor data on cache-line boundaries. */
const ALIGNMENT = 64;

/** A piece of the arena: an address for native code, the same bytes as arrays for us. */
export interface Region {
  readonly address: number;
  /** Whole block, as 4-byte elements; the region starts at `start`. */
  readonly floats: Float32Array;
  readonly ints: Int32Array;
  readonly bytes: Uint8Array;
  /** Index of the region's first 4-byte element. */
  readonly start: number;
}

interface Block {
  readonly buffer: ArrayBuffer;
  readonly address: number;
  readonly floats: Float32Array;
  readonly ints: Int32Array;
  /** Offset of the first aligned byte. */
  readonly first: number;
  used: number;
}

/**
 * Memory that llama.cpp's kernels write captured tensors into. It is never freed before the arena itself is dropped:
 * a graph that llama.cpp reuses keeps the addresses it was given.
 */
export class Arena {
  readonly #blocks: Block[] = [];
  #current = 0;

  /** Forget all regions; call only when the graph that knows them is gone. */
  reset(): void {
    for (const block of this.#blocks) block.used = block.first;
    this.#current = 0;
  }

  allocate(bytes: number): Region {
    const size = Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
    while (this.#current < this.#blocks.length) {
      const block = this.#blocks[this.#current]!;
      if (block.used + size <= block.buffer.byteLength) return take(block, size);
      this.#current++;
    }
    const block = makeBlock(Math.max(size + ALIGNMENT, MIN_BLOCK_BYTES));
    this.#blocks.push(block);
    return take(block, size);
  }
}

function makeBlock(bytes: number): Block {
  const buffer = new ArrayBuffer(bytes);
  const address = Number(addressOf(new Uint8Array(buffer)));
  const first = (ALIGNMENT - (address % ALIGNMENT)) % ALIGNMENT;
  return {
    buffer,
    address,
    floats: new Float32Array(buffer, 0, bytes >> 2),
    ints: new Int32Array(buffer, 0, bytes >> 2),
    first,
    used: first,
  };
}

function take(block: Block, size: number): Region {
  const offset = block.used;
  block.used += size;
  return {
    address: block.address + offset,
    floats: block.floats,
    ints: block.ints,
    bytes: new Uint8Array(block.buffer, offset, size),
    start: offset >> 2,
  };
}
