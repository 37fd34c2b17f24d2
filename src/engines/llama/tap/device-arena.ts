import { GGML_TYPE, type Llama } from "../native/bindings.ts";
import type { BufferTypePointer } from "../native/device-bindings.ts";
import type { Pointer, TensorPointer } from "../native/pointers.ts";
import { Arena, type Block, CACHE_LINE, type Region, views } from "./arena.ts";

/** Room for one tensor and its header, and what `ggml_init` keeps for itself. */
const SPAN_CONTEXT_BYTES = 1024;

interface DeviceBlock extends Block {
  readonly buffer: number;
  /** A tensor over the whole block, to read from it. */
  readonly span: TensorPointer;
  readonly context: Pointer;
}

/**
 * Memory on devices that their kernels write captured tensors into, one arena for each kind of memory, and its way
 * back: after a step each block is read in one piece, however many tensors lie in it.
 *
 * Kinds: a GPU's own memory, and the pinned host memory in which llama.cpp keeps what the CPU computes beside a GPU.
 * A tensor stays in the kind it was given, because the device may read it where it lies.
 */
export class DeviceArenas {
  readonly #llama: Llama;
  readonly #arenas = new Map<BufferTypePointer, Arena<DeviceBlock>>();

  constructor(llama: Llama) {
    this.#llama = llama;
  }

  /** @returns `null` when the device has no more memory. */
  allocate(type: BufferTypePointer, bytes: number): Region | null {
    let arena = this.#arenas.get(type);
    if (!arena) {
      const alignment = Math.max(CACHE_LINE, this.#llama.bufferTypeAlignment(type));
      arena = new Arena((size) => this.#block(type, size), alignment);
      this.#arenas.set(type, arena);
    }
    return arena.allocate(bytes);
  }

  /** Forget all regions; call only when the graph that knows them is gone. */
  reset(): void {
    for (const arena of this.#arenas.values()) arena.reset();
  }

  /** Wait for the devices and bring every region's bytes to our side. Without regions this does nothing. */
  read(context: Pointer): void {
    const blocks = this.#blocks().filter(({ used }) => used > 0);
    if (blocks.length > 0) this.#llama.synchronize(context);
    for (const { span, host, used } of blocks) this.#llama.readTensor(span, new Uint8Array(host), 0, used);
  }

  /** Give the memory back; call only when the context is gone. */
  close(): void {
    for (const { buffer, context } of this.#blocks()) {
      this.#llama.freeBuffer(buffer);
      this.#llama.ggmlFree(context);
    }
    this.#arenas.clear();
  }

  #blocks(): DeviceBlock[] {
    return [...this.#arenas.values()].flatMap(({ blocks }) => blocks);
  }

  #block(type: BufferTypePointer, wanted: number): DeviceBlock | null {
    const llama = this.#llama;
    const bytes = Math.ceil(wanted / 4) * 4;
    const buffer = llama.allocateBuffer(type, bytes);
    if (buffer === 0) return null;
    const address = llama.bufferBase(buffer);
    const context = llama.ggmlInit({ mem_size: SPAN_CONTEXT_BYTES, mem_buffer: null, no_alloc: true });
    const span = llama.newTensor2d(context, GGML_TYPE.F32, bytes / 4, 1);
    if (llama.placeTensor(buffer, span, address) !== 0) {
      llama.freeBuffer(buffer);
      llama.ggmlFree(context);
      return null;
    }
    return { address, buffer, span, context, ...views(new ArrayBuffer(bytes)), first: 0, used: 0 };
  }
}
