/**
 * The part of the native boundary that deals with devices, their buffers and the graph: what `bindings.ts` says of
 * itself holds here too.
 */
import type { LibraryHandle } from "koffi";
import { addressOf, type Memory, toNumber } from "./native-memory.ts";
import type { Pointer, TensorPointer } from "./pointers.ts";

/** Address of a `ggml_backend_buffer`, as a tensor struct holds it. */
export type BufferPointer = number;
/** Address of a `ggml_backend_buffer_type`: the kind of memory, one per device or two. */
export type BufferTypePointer = number;

/** `ggml_backend_dev_type`. */
export const DEVICE_TYPE = ["cpu", "gpu", "igpu", "accel", "meta"] as const;

/** `struct ggml_object`, the header before everything that lies in a `ggml_context`. */
const OBJECT = { offset: 0, next: 16, type: 24, size: 32 } as const;
const OBJECT_TYPE_TENSOR = 0;
const OBJECT_TYPE_GRAPH = 1;

/** Arrays given to native code are at least this large: smaller ones lie in V8's heap, which moves them. */
const MIN_STABLE_BYTES = 128;

export type DeviceBindings = ReturnType<typeof bindDevices>;

export function bindDevices(base: LibraryHandle, ggml: LibraryHandle, lib: LibraryHandle) {
  const text = (name: string) => base.func(name, "const char *", ["void *"]) as (of: Pointer) => string;
  return {
    deviceCount: ggml.func("ggml_backend_dev_count", "size_t", []) as () => number,
    device: ggml.func("ggml_backend_dev_get", "void *", ["size_t"]) as (index: number) => Pointer,
    /** Load one backend from its shared library; `null` when it cannot be loaded or finds no use. */
    loadBackend: ggml.func("ggml_backend_load", "void *", ["const char *"]) as (
      path: string,
    ) => Pointer | null,
    deviceName: text("ggml_backend_dev_name"),
    deviceDescription: text("ggml_backend_dev_description"),
    deviceType: base.func("ggml_backend_dev_type", "int", ["void *"]) as (device: Pointer) => number,
    deviceMemory: base.func("ggml_backend_dev_memory", "void", ["void *", "void *", "void *"]) as (
      device: Pointer,
      free: BigUint64Array,
      total: BigUint64Array,
    ) => void,
    deviceBackend: base.func("ggml_backend_dev_backend_reg", "void *", ["void *"]) as (
      device: Pointer,
    ) => Pointer,
    backendName: text("ggml_backend_reg_name"),
    deviceBufferType: base.func("ggml_backend_dev_buffer_type", "uint64_t", ["void *"]) as (
      device: Pointer,
    ) => BufferTypePointer,

    cpuBufferType: base.func("ggml_backend_cpu_buffer_type", "uint64_t", []) as () => BufferTypePointer,
    bufferType: base.func("ggml_backend_buffer_get_type", "uint64_t", ["uint64_t"]) as (
      buffer: BufferPointer,
    ) => BufferTypePointer,
    bufferTypeName: base.func("ggml_backend_buft_name", "const char *", ["uint64_t"]) as (
      type: BufferTypePointer,
    ) => string,
    bufferTypeAlignment: base.func("ggml_backend_buft_get_alignment", "size_t", ["uint64_t"]) as (
      type: BufferTypePointer,
    ) => number,
    /** 0 when there is not so much memory. */
    allocateBuffer: base.func("ggml_backend_buft_alloc_buffer", "uint64_t", ["uint64_t", "size_t"]) as (
      type: BufferTypePointer,
      bytes: number,
    ) => BufferPointer,
    freeBuffer: base.func("ggml_backend_buffer_free", "void", ["uint64_t"]) as (
      buffer: BufferPointer,
    ) => void,
    /** Where tensors in the buffer may lie; for many devices no address of this process. */
    bufferBase: base.func("ggml_backend_buffer_get_base", "uint64_t", ["uint64_t"]) as (
      buffer: BufferPointer,
    ) => number,
    /** Give a tensor that has no memory its place in a buffer; 0 is success. */
    placeTensor: base.func("ggml_backend_tensor_alloc", "int", ["uint64_t", "uint64_t", "uint64_t"]) as (
      buffer: BufferPointer,
      tensor: TensorPointer,
      address: number,
    ) => number,
    /** Wait for everything a context has started on its devices. */
    synchronize: lib.func("llama_synchronize", "void", ["void *"]) as (context: Pointer) => void,

    newGraph: base.func("ggml_new_graph", "uint64_t", ["void *"]) as (context: Pointer) => number,
    expandGraph: base.func("ggml_build_forward_expand", "void", ["uint64_t", "uint64_t"]) as (
      graph: number,
      tensor: TensorPointer,
    ) => void,
    graphSize: base.func("ggml_graph_n_nodes", "int", ["uint64_t"]) as (graph: number) => number,
    graphNodes: base.func("ggml_graph_nodes", "uint64_t", ["uint64_t"]) as (graph: number) => number,
  };
}

/** A graph where it lies. */
export interface NativeGraph {
  /** Addresses of its operations, in the order they are computed. */
  readonly nodes: Float64Array;
  /** Where that list lies. */
  readonly nodesAt: number;
  /** The memory in which its tensors lie, one every {@link TENSOR_STEP} bytes from the first to the last operation. */
  readonly memory: ArrayBuffer;
  /** Address of that memory. */
  readonly from: TensorPointer;
}

/** From one tensor in a context to the next, in bytes, where nothing but tensors is made: header and `ggml_tensor`. */
export const TENSOR_STEP = 368;

/**
 * The graph a tensor belongs to.
 *
 * llama.cpp makes a context for each graph and the graph as the first object in it; every object's header tells how
 * far into the context's memory it lies. That leads from any tensor to its graph, without access to llama.cpp's own
 * structures.
 *
 * @returns `null` when the context does not begin with a graph.
 */
export function graphOf(llama: DeviceBindings, memory: Memory, tensor: TensorPointer): NativeGraph | null {
  const first = tensor - memory.uint64(tensor - OBJECT.size + OBJECT.offset);
  if (memory.int32(first + OBJECT.type) !== OBJECT_TYPE_GRAPH) return null;
  const graph = first + OBJECT.size;
  const count = llama.graphSize(graph);
  const nodesAt = llama.graphNodes(graph);
  const pointers = new Float64Array(memory.piece(nodesAt, 8 * Math.max(1, count)), 0, count);
  const nodes = pointers.map(toNumber);
  const from = memory.uint64(first + OBJECT.next) + OBJECT.size;
  const last = pointers.reduce((a, b) => Math.max(a, b), 0);
  return {
    nodes,
    nodesAt,
    from,
    memory: memory.piece(from, toNumber(last) + TENSOR_STEP - OBJECT.size - from),
  };
}

/**
 * What ggml's scheduler copies between devices: by the copy that an operation reads, the tensor it is a copy of.
 *
 * In a graph that is spread over devices, operands that lie elsewhere are replaced by copies, and a copy does not know
 * its original. But the scheduler makes them in a context of its own: first the copies, then in the same order for
 * each a view on the original, so that it is kept until then. (Views of other kinds may lie between: they are passed
 * over by name and shape.)
 *
 * @param copy one of the copies.
 */
export function copiedTensors(
  memory: Memory,
  copy: TensorPointer,
  fields: CopyFields,
): ReadonlyMap<TensorPointer, TensorPointer> {
  const first = copy - memory.uint64(copy - OBJECT.size + OBJECT.offset);
  const copies: TensorPointer[] = [];
  const views: TensorPointer[] = [];
  for (let object = first; object !== 0; object = memory.uint64(object + OBJECT.next)) {
    if (memory.int32(object + OBJECT.type) !== OBJECT_TYPE_TENSOR) continue;
    const tensor = object + OBJECT.size;
    (fields.viewSource(tensor) === 0 ? copies : views).push(tensor);
  }
  const originals = new Map<TensorPointer, TensorPointer>();
  let next = 0;
  for (const view of views) {
    const original = fields.source(view);
    const at = copies.findIndex((copy, i) => i >= next && isCopyOf(copy, original, fields));
    if (at === -1) continue;
    originals.set(copies[at]!, original);
    next = at + 1;
    // Where steps overlap there is one for each that may be under way.
    for (; next < copies.length && isNextCopy(copies[next - 1]!, copies[next]!, fields); next++)
      originals.set(copies[next]!, original);
  }
  return originals;
}

interface CopyFields {
  name(t: TensorPointer): string;
  source(t: TensorPointer): TensorPointer;
  viewSource(t: TensorPointer): TensorPointer;
  ne(t: TensorPointer, axis: number): number;
}

/** `ggml_backend_sched_split_graph` names them `<backend>#<name>#<number>`, cut off where that is too long. */
const COPY_NAME = /^[^#]+#(.*?)(?:#(\d*))?$/;

/** Whether a leaf's name is that of a copy. */
export const isCopyName = (name: string): boolean => name.includes("#");

function isCopyOf(copy: TensorPointer, original: TensorPointer, fields: CopyFields): boolean {
  const [, name] = COPY_NAME.exec(fields.name(copy)) ?? [];
  return (
    name !== undefined &&
    fields.name(original).startsWith(name) &&
    [0, 1, 2, 3].every((axis) => fields.ne(copy, axis) === fields.ne(original, axis))
  );
}

function isNextCopy(copy: TensorPointer, next: TensorPointer, fields: CopyFields): boolean {
  const [, name, number] = COPY_NAME.exec(fields.name(copy)) ?? [];
  const [, nextName, nextNumber] = COPY_NAME.exec(fields.name(next)) ?? [];
  return name === nextName && Number(nextNumber) === Number(number) + 1;
}

/** A NULL-terminated array of pointers for native code. Keep the array for as long as native code may read it. */
export class PointerList {
  readonly #cells: BigUint64Array;
  /** The strings whose addresses are in the list. */
  readonly #texts: Uint8Array[] = [];
  #length = 0;

  /** @param terminator number of NULLs at the end. */
  constructor(capacity: number, terminator = 1) {
    this.#cells = new BigUint64Array(Math.max(capacity + terminator, MIN_STABLE_BYTES / 8));
  }

  get address(): Pointer {
    return addressOf(this.#cells);
  }

  add(pointer: Pointer | number): void {
    this.#cells[this.#length++] = BigInt(pointer);
  }

  addText(text: string): void {
    const bytes = new TextEncoder().encode(text);
    const stable = new Uint8Array(Math.max(bytes.length + 1, MIN_STABLE_BYTES));
    stable.set(bytes);
    this.#texts.push(stable);
    this.add(addressOf(stable));
  }
}
