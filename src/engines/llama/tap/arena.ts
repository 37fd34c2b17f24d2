import type { BufferPointer } from "../native/device-bindings.ts";
import { addressOf } from "../native/native-memory.ts";

/** Blocks are at least this large, so that a plan of usual size needs one. */
const MIN_BLOCK_BYTES = 1 << 20;
/** ggml's kernels want tensor data on cache-line boundaries. */
export const CACHE_LINE = 64;

/** A piece of an arena: an address for native code, the same bytes as arrays for us. */
export interface Region {
  readonly address: number;
  /** What a tensor that lies here must name as its buffer; `null`: the memory is ours, and its own will do. */
  readonly buffer: BufferPointer | null;
  /** Whole block, as 4-byte elements; the region starts at `start`. */
  readonly floats: Float32Array;
  readonly ints: Int32Array;
  readonly bytes: Uint8Array;
  /** Index of the region's first 4-byte element. */
  readonly start: number;
}

/** Memory that regions are cut from. */
export interface Block {
  readonly address: number;
  readonly buffer: BufferPointer | null;
  /** The same bytes on our side: the memory itself, or what is read back from a device. */
  readonly host: ArrayBuffer;
  readonly floats: Float32Array;
  readonly ints: Int32Array;
  /** Offset of the first aligned byte. */
  readonly first: number;
  /** Bytes from the beginning that are taken. */
  used: number;
}

/**
 * Memory that llama.cpp's kernels write captured tensors into. It is never freed before the arena itself is dropped:
 * a graph that llama.cpp reuses keeps the addresses it was given.
 */
export class Arena<B extends Block = Block> {
  readonly #blocks: B[] = [];
  readonly #make: (bytes: number) => B | null;
  readonly #alignment: number;
  #current = 0;

  /** @param make a block of at least so many bytes, or `null` when there is no more memory. */
  constructor(make: (bytes: number) => B | null, alignment = CACHE_LINE) {
    this.#make = make;
    this.#alignment = alignment;
  }

  get blocks(): readonly B[] {
    return this.#blocks;
  }

  /** Forget all regions; call only when the graph that knows them is gone. */
  reset(): void {
    for (const block of this.#blocks) block.used = block.first;
    this.#current = 0;
  }

  /** @returns `null` when there is no more memory of this kind. */
  allocate(bytes: number): Region | null {
    const size = Math.ceil(bytes / this.#alignment) * this.#alignment;
    while (this.#current < this.#blocks.length) {
      const block = this.#blocks[this.#current]!;
      if (block.used + size <= block.host.byteLength) return take(block, size);
      this.#current++;
    }
    const block = this.#make(Math.max(size + this.#alignment, MIN_BLOCK_BYTES));
    if (!block) return null;
    this.#blocks.push(block);
    return take(block, size);
  }
}

/** A block in this process's own memory, for tensors that the CPU computes. */
export function hostBlock(bytes: number): Block {
  const host = new ArrayBuffer(bytes);
  const address = Number(addressOf(new Uint8Array(host)));
  const first = (CACHE_LINE - (address % CACHE_LINE)) % CACHE_LINE;
  return { address, buffer: null, ...views(host), first, used: first };
}

/** A block's bytes as the arrays that regions hand out. */
export function views(host: ArrayBuffer): Pick<Block, "host" | "floats" | "ints"> {
  const elements = host.byteLength >> 2;
  return { host, floats: new Float32Array(host, 0, elements), ints: new Int32Array(host, 0, elements) };
}

function take(block: Block, size: number): Region {
  const offset = block.used;
  block.used += size;
  const { address, buffer, floats, ints, host } = block;
  return {
    address: address + offset,
    buffer,
    floats,
    ints,
    bytes: new Uint8Array(host, offset, size),
    start: offset >> 2,
  };
}
