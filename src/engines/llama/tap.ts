import { activationOf } from "../../capture/streams.ts";
import { EngineError } from "../../errors.ts";
import { Arena, hostBlock, type Region } from "./arena.ts";
import {
  GGML_TENSOR_FLAG_OUTPUT,
  GGML_TYPE,
  type Llama,
  type Pointer,
  type TensorPointer,
} from "./bindings.ts";
import { DeviceArenas } from "./device-arena.ts";
import { type BufferTypePointer, graphOf } from "./device-bindings.ts";
import { OUTPUT, OutputHead } from "./output-head.ts";
import type { TapTarget } from "./taps.ts";
import { TensorReader } from "./tensor-reader.ts";

/**
 * - `redirect`: the kernels write captured tensors straight into our memory;
 * - `copy`: each tensor is copied after it is computed, which stops the graph at each of them;
 * - `auto`: redirect, and copy what cannot be (no memory left on the device).
 */
export type Strategy = "auto" | "redirect" | "copy";

/** Where the values of one (stream, layer) are after a step. Offsets and strides count 4-byte elements. */
export interface Slot extends TapTarget {
  readonly values: Float32Array | Int32Array;
  readonly start: number;
  readonly rows: number;
  readonly rowStride: number;
  /** The other axes, slowest first. */
  readonly axes: readonly { readonly size: number; readonly stride: number }[];
  /** Values of a row: the product of their sizes. */
  readonly width: number;
  /** Whether a row's values lie beside each other. */
  readonly dense: boolean;
}

/** A tensor of a graph; its sizes as ggml counts them, fastest axis first, always four. */
export interface GraphNode {
  readonly name: string;
  readonly type: string;
  readonly shape: readonly number[];
}

/** Is told of a graph that is looked at instead of run. */
export interface GraphWatcher {
  /** The graph is built; its operations will be left out. */
  built(nodes: readonly TensorPointer[]): void;
  /** A node would be computed next: what its device needs for it is there, and nothing has overwritten it yet. */
  reached(node: TensorPointer): void;
}

type Wanted = readonly [TensorPointer, TapTarget];

const OPS = ["NONE", "MUL_MAT", "ADD", "VIEW", "RESHAPE", "PERMUTE", "TRANSPOSE"] as const;

/**
 * Taps tensors of a running graph through llama.cpp's eval callback.
 *
 * Redirecting means: when the callback is called for the first time, before any of the graph is computed, the `data`
 * pointers of the wanted tensors are replaced, and those of the views on them, and on a device their `buffer` too.
 * All of the graph is mended at once because llama.cpp computes it in several parts when it uses several devices, and
 * copies what a part needs from others before it asks about that part.
 *
 * The pointers stay in the graph for as long as llama.cpp reuses it, so after the step that built a graph the
 * callback is switched off ({@link settle}) and costs nothing until llama.cpp builds the next one, which switches it
 * on again.
 */
export class Tap {
  readonly callback: Pointer;
  readonly #llama: Llama;
  readonly #tensors: TensorReader;
  readonly #ops: Readonly<Record<(typeof OPS)[number], number>>;
  readonly #strategy: Strategy;
  readonly #arena = new Arena(hostBlock);
  readonly #devices: DeviceArenas;
  readonly #cpu: BufferTypePointer;
  readonly #head: OutputHead;
  #targets: ReadonlyMap<string, readonly TapTarget[]> = new Map();
  /** Whether the graph ends at the last target. */
  #cut = false;
  /** Tensors of the present graph that are copied once they are computed. */
  readonly #copies = new Map<TensorPointer, TapTarget[]>();
  /** Where the nodes of the next graph go that is only looked at. */
  #looking: GraphNode[] | null = null;
  #watcher: GraphWatcher | null = null;
  #slots: Slot[] = [];
  /** Slots of a graph that is being computed; they replace `#slots` when it has run. */
  #found: Slot[] | null = null;
  #error: unknown = null;

  constructor(llama: Llama, strategy: Strategy) {
    this.#llama = llama;
    this.#tensors = new TensorReader(llama.memory);
    this.#strategy = strategy;
    this.#devices = new DeviceArenas(llama);
    this.#cpu = llama.cpuBufferType();
    this.#ops = opCodes(llama, OPS);
    this.#head = new OutputHead(this.#tensors, this.#ops);
    this.callback = llama.registerEval((tensor, ask) => this.#on(tensor, ask));
  }

  /**
   * What to capture from the next graph on. The caller makes llama.cpp build a new graph.
   *
   * @param cut nothing but the targets is needed: what the graph has after the last of them is left out. No token can be
   * drawn then, and later layers' caches stay empty.
   */
  setTargets(targets: ReadonlyMap<string, readonly TapTarget[]>, { cut = false } = {}): void {
    this.#targets = targets;
    this.#cut = cut;
    this.#looking = null;
    this.#watcher = null;
    this.#slots = [];
    // An aborted step leaves its graph unsettled, and its addresses may come again.
    this.#found = null;
    this.#error = null;
    this.#forgetGraph();
  }

  /**
   * Look at the next graph instead of running it: all of its operations are left out. The caller makes llama.cpp
   * build a new graph before and after.
   *
   * @returns where its nodes will be, in the order of computation.
   */
  look(watcher: GraphWatcher | null = null): readonly GraphNode[] {
    this.setTargets(new Map());
    this.#looking = [];
    this.#watcher = watcher;
    return this.#looking;
  }

  /**
   * Whether the next step needs the model's output; without, it is not computed for rows that are only captured.
   *
   * ggml's CUDA backend replays the kernels it has recorded for a graph without looking at the graph again. Only when
   * the scheduler asks the callback does it compare every node with what was recorded, so that is what happens in the
   * step after a change.
   */
  needOutput(context: Pointer, needed: boolean): void {
    const changed = this.#head.need(needed);
    if (changed === null || this.#bufferType(changed) === this.#cpu) return;
    const scheduler = this.#llama.scheduler?.(context);
    if (scheduler) this.#llama.setEvalCallback(scheduler, this.callback, null);
  }

  /**
   * Call after each `llama_decode`: gives the slots of the step and switches the callback off where that is possible.
   *
   * @throws EngineError when a tensor did not look as expected; nothing of the step can be trusted then.
   */
  settle(context: Pointer): readonly Slot[] {
    if (this.#error) {
      const error = this.#error;
      this.#error = null;
      this.#found = null;
      throw error;
    }
    this.#devices.read(context);
    if (!this.#found) return this.#slots; // the graph was reused, and so were its pointers
    this.#slots = this.#found;
    this.#found = null;
    // Asked for anew each time: llama.cpp makes another scheduler when it reserves its graphs again.
    const scheduler = this.#copies.size > 0 ? null : this.#llama.scheduler?.(context);
    if (scheduler) this.#llama.setEvalCallback(scheduler, null, null);
    return this.#slots;
  }

  /** Call when the context is gone. */
  close(): void {
    this.#llama.unregister(this.callback);
    this.#devices.close();
  }

  /** Nothing may be thrown into native code: an error is kept for {@link settle}. */
  #on(tensor: TensorPointer, ask: boolean): boolean {
    try {
      if (!this.#found) this.#startGraph(tensor);
      if (ask) this.#watcher?.reached(tensor);
      if (ask) return this.#copies.has(tensor);
      this.#copy(tensor);
      return true;
    } catch (error) {
      this.#error ??= error;
      return !ask;
    }
  }

  #forgetGraph(): void {
    this.#head.forget();
    this.#copies.clear();
    this.#arena.reset();
    this.#devices.reset();
  }

  /** Mend a graph before any of it is computed. */
  #startGraph(first: TensorPointer): void {
    this.#found = [];
    this.#forgetGraph();
    if (this.#targets.size === 0 && !this.#looking) return;
    const nodes = graphOf(this.#llama, this.#llama.memory, first);
    if (nodes?.[0] !== first)
      throw new EngineError(
        "ENGINE_FAILED",
        "llama.cpp's graph does not look as expected; nothing is captured",
      );
    if (this.#looking) {
      this.#watcher?.built(nodes);
      for (const t of nodes) {
        this.#looking.push(this.#node(t));
        this.#tensors.setOp(t, this.#ops.NONE);
      }
      return;
    }
    const moved = new Map<TensorPointer, Region>();
    const rewritten = this.#rewritten(nodes);
    const wanted = this.#wanted(nodes);
    if (this.#cut) this.#endAfter(wanted, nodes);
    for (const [t, target] of wanted) {
      const root = this.#tensors.viewSource(t) || t;
      // Kernels that fuse operations skip tensors nobody reads; the flag makes them write this one.
      this.#tensors.addFlag(root, GGML_TENSOR_FLAG_OUTPUT);
      const region = rewritten.has(root) ? null : (moved.get(root) ?? this.#move(root));
      if (region) {
        moved.set(root, region);
        const offset = root === t ? 0 : this.#tensors.viewOffset(t) >> 2;
        this.#found.push(this.#slot(t, target, region, region.start + offset));
      } else this.#copies.set(t, [...(this.#copies.get(t) ?? []), target]);
    }
    for (const t of nodes) {
      const region = moved.get(this.#tensors.viewSource(t));
      if (region) this.#point(t, region, this.#tensors.viewOffset(t));
    }
  }

  /** Leave out what is computed after the last of the wanted tensors. */
  #endAfter(wanted: readonly Wanted[], nodes: readonly TensorPointer[]): void {
    const last = new Set(wanted.map(([t]) => t));
    for (let i = nodes.length - 1; i >= 0 && !last.has(nodes[i]!); i--)
      this.#tensors.setOp(nodes[i]!, this.#ops.NONE);
  }

  /** Of several tensors for the same (stream, layer), the one computed last. */
  #wanted(nodes: readonly TensorPointer[]): readonly Wanted[] {
    const wanted = new Map<string, Wanted>();
    for (const t of nodes) {
      const name = this.#tensors.name(t);
      if (name === OUTPUT) this.#head.found(t);
      for (const target of this.#targets.get(name) ?? [])
        if (!target.onlyIfRaw || this.#isRaw(t)) wanted.set(`${target.stream}-${target.layer}`, [t, target]);
    }
    return [...wanted.values()];
  }

  /**
   * Roots that an operation writes to through a view: after the step they hold what that operation left, so they are
   * copied in time whatever the strategy.
   */
  #rewritten(nodes: readonly TensorPointer[]): Set<TensorPointer> {
    const { NONE, VIEW, RESHAPE, PERMUTE, TRANSPOSE } = this.#ops;
    const views = new Set([NONE, VIEW, RESHAPE, PERMUTE, TRANSPOSE]);
    const roots = nodes
      .filter((t) => !views.has(this.#tensors.op(t)))
      .map((t) => this.#tensors.viewSource(t));
    return new Set(roots.filter((root) => root !== 0));
  }

  #node(t: TensorPointer): GraphNode {
    const shape = [0, 1, 2, 3].map((axis) => this.#tensors.ne(t, axis));
    return { name: this.#tensors.name(t), type: this.#llama.typeName(this.#tensors.type(t)), shape };
  }

  #isRaw(t: TensorPointer): boolean {
    const op = this.#tensors.op(t);
    return op === this.#ops.MUL_MAT || op === this.#ops.ADD;
  }

  /** @returns where the tensor lies from now on, or `null` if it is to be copied. */
  #move(root: TensorPointer): Region | null {
    if (this.#strategy === "copy") return null;
    const region = this.#allocate(root);
    if (region) this.#point(root, region, 0);
    else if (this.#strategy === "redirect")
      throw new EngineError(
        "ENGINE_FAILED",
        `${this.#tensors.name(root)} cannot be redirected: no memory left on its device; use strategy "auto" or "copy"`,
      );
    return region;
  }

  #allocate(root: TensorPointer): Region | null {
    // A weight, or the cache: what has no operation holds its values already.
    if (this.#tensors.op(root) === this.#ops.NONE) return null;
    const bytes = this.#llama.tensorBytes(root);
    const type = this.#bufferType(root);
    return type === this.#cpu ? this.#arena.allocate(bytes) : this.#devices.allocate(type, bytes);
  }

  #bufferType(t: TensorPointer): BufferTypePointer {
    return this.#llama.bufferType(this.#tensors.buffer(t));
  }

  #point(t: TensorPointer, { address, buffer }: Region, offset: number): void {
    this.#tensors.setData(t, address + offset);
    if (buffer !== null) this.#tensors.setBuffer(t, buffer);
  }

  #copy(t: TensorPointer): void {
    const bytes = this.#llama.tensorBytes(t);
    const region = this.#arena.allocate(bytes)!;
    if (bytes > 0) this.#llama.readTensor(t, region.bytes, 0, bytes);
    for (const target of this.#copies.get(t)!) this.#found!.push(this.#slot(t, target, region, region.start));
  }

  #slot(t: TensorPointer, target: TapTarget, region: Region, start: number): Slot {
    const { rowAxis, stream } = target;
    const type = this.#tensors.type(t);
    const whole = type === GGML_TYPE.I32;
    const expected = activationOf(stream) !== null || whole === (stream === "expert_ids");
    if (!expected || (type !== GGML_TYPE.F32 && !whole))
      throw new EngineError(
        "ENGINE_FAILED",
        `${this.#tensors.name(t)} has an unexpected type (${this.#llama.typeName(type)}); moescope cannot capture ` +
          `${stream} from this model`,
      );
    const axes = [3, 2, 1, 0]
      .filter((axis) => axis !== rowAxis)
      .map((axis) => ({ size: this.#tensors.ne(t, axis), stride: this.#tensors.nb(t, axis) >> 2 }));
    const { width, dense } = axes.reduceRight(
      ({ width, dense }, { size, stride }) => ({
        width: width * size,
        dense: dense && (size === 1 || stride === width),
      }),
      { width: 1, dense: true },
    );
    return {
      ...target,
      values: whole ? region.ints : region.floats,
      start,
      rows: this.#tensors.ne(t, rowAxis),
      rowStride: this.#tensors.nb(t, rowAxis) >> 2,
      axes,
      width,
      dense,
    };
  }
}

function opCodes<Name extends string>(llama: Llama, names: readonly Name[]): Record<Name, number> {
  const codes: Partial<Record<Name, number>> = {};
  // The walk ends before ggml's own list does: these are among the oldest operations.
  for (let op = 0; op < 64; op++) {
    const name = llama.opName(op) as Name;
    if (names.includes(name)) codes[name] = op;
  }
  return codes as Record<Name, number>;
}
