import { EngineError } from "../../../core/errors.ts";
import { largest } from "../../../core/extremes.ts";
import type { EditLayout } from "../edit/edit-layout.ts";
import { ON_CPU_ONLY } from "../edit/edit-layout.ts";
import { EditedGraph } from "../edit/edited-graph.ts";
import { type Graph, NONE } from "../graph/graph.ts";
import { type KnownGraph, KnownGraphs } from "../graph/known-graphs.ts";
import type { ModelShape } from "../graph/model-shape.ts";
import { GGML_TENSOR_FLAG_OUTPUT, type Llama } from "../native/bindings.ts";
import { type BufferTypePointer, graphOf, type NativeGraph } from "../native/device-bindings.ts";
import type { Pointer, TensorPointer } from "../native/pointers.ts";
import { TensorReader } from "../native/tensor-reader.ts";
import { Arena, hostBlock, type Region } from "./arena.ts";
import { DeviceArenas } from "./device-arena.ts";
import { type Found, findTargets } from "./find-targets.ts";
import { OutputHead } from "./output-head.ts";
import { checkRowOrder, type StepRows } from "./row-order.ts";
import { firstChosen, type Slot, slotOf } from "./slot.ts";
import { NO_TARGETS, type Targets } from "./targets.ts";

/**
 * - `redirect`: the kernels write captured tensors straight into our memory;
 * - `copy`: each tensor is copied after it is computed, which stops the graph at each of them;
 * - `auto`: redirect, and copy what cannot be (no memory left on the device).
 */
export type Strategy = "auto" | "redirect" | "copy";

/** Is told of a graph that is looked at instead of run. */
export interface GraphWatcher {
  /** The graph is built; its operations will be left out. */
  built(known: KnownGraph): void;
  /** An operation would be computed next: what its device needs for it is there, and nothing has overwritten it yet. */
  reached?(node: TensorPointer): void;
}

const OPS = ["NONE", "MUL_MAT", "ADD", "MUL"] as const;

/** What a run does with graphs, besides taking tensors from them. */
export interface GraphUse {
  /**
   * Nothing but the targets is needed: what the graph has after the last of them is left out. No token can be drawn
   * then, and later layers' caches stay empty.
   */
  readonly cut?: boolean;
  /** Where they are changed; `null`: nowhere. */
  readonly edits?: EditLayout | null;
}

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
  readonly #known: KnownGraphs;
  readonly #editArena = new Arena(hostBlock);
  #targets: Targets = NO_TARGETS;
  /** Whether the graph ends at the last target. */
  #cut = false;
  #layout: EditLayout | null = null;
  /** The present graph, if it was changed. */
  #edited: EditedGraph | null = null;
  /** The tokens of the next step, and which of them are outputs. */
  #step: StepRows | null = null;
  /** Tensors of the present graph that are copied once they are computed. */
  readonly #copies = new Map<TensorPointer, Found[]>();
  /** Looks at the next graph instead of running it. */
  #watcher: GraphWatcher | null = null;
  #slots: Slot[] = [];
  /** Slots of a graph that is being computed; they replace `#slots` when it has run. */
  #found: Slot[] | null = null;
  #error: unknown = null;

  constructor(llama: Llama, strategy: Strategy, shape: ModelShape) {
    this.#llama = llama;
    this.#tensors = new TensorReader(llama.memory);
    this.#strategy = strategy;
    this.#devices = new DeviceArenas(llama);
    this.#cpu = llama.cpuBufferType();
    this.#ops = opCodes(llama, OPS);
    this.#head = new OutputHead(this.#tensors, this.#ops);
    this.#known = new KnownGraphs(llama, shape);
    this.callback = llama.registerEval((tensor, ask) => this.#on(tensor, ask));
  }

  /** What to capture from the next graph on, and what to change. The caller makes llama.cpp build a new graph. */
  setTargets(targets: Targets, { cut = false, edits = null }: GraphUse = {}): void {
    this.#targets = targets;
    this.#cut = cut;
    this.#layout = edits;
    this.#edited = null;
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
   */
  look(watcher: GraphWatcher): void {
    this.setTargets(NO_TARGETS);
    this.#watcher = watcher;
  }

  /** Call before each step. */
  expect(step: StepRows): void {
    this.#step = step;
    // Of a graph that is used again; llama.cpp builds another one for a step of another size.
    this.#edited?.fill(step);
  }

  /** Call when the context is another: what is known of its graphs holds no more. */
  forgetGraphs(): void {
    this.#edited = null;
    this.#known.forget();
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
    this.#edited?.assertComputed();
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
      if (ask) this.#watcher?.reached?.(tensor);
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
    this.#editArena.reset();
    this.#devices.reset();
  }

  /** Mend a graph before any of it is computed. */
  #startGraph(first: TensorPointer): void {
    this.#found = [];
    if (this.#edited?.isThere()) this.#edited.undo();
    this.#edited = null;
    this.#forgetGraph();
    const { proven, named } = this.#targets;
    if (proven.length + named.length === 0 && !this.#watcher && !this.#layout) return;
    const native = graphOf(this.#llama, this.#llama.memory, first);
    if (native?.nodes[0] !== first)
      throw new EngineError(
        "ENGINE_FAILED",
        "llama.cpp's graph does not look as expected; nothing is captured",
      );
    const known = this.#known.of(native);
    const { graph } = known.taps;
    if (this.#watcher) {
      this.#watcher.built(known);
      this.#leaveOut(graph, 0);
      return;
    }
    const wanted = findTargets(known.taps, this.#targets);
    const until = this.#cut ? Math.max(NONE, largest(wanted.map(({ index }) => index))) + 1 : graph.nodeCount;
    this.#edited = this.#layout && this.#planEdits(this.#layout, native, known, until);
    const places = this.#edited?.points.map(({ rows }) => ({ rowsAre: rows.of })) ?? [];
    checkRowOrder(this.#llama, known.taps, this.#step!, [...wanted, ...places]);
    if (known.outputProduct !== NONE) this.#head.found(graph.parts.nodes[known.outputProduct]!);
    this.#leaveOut(graph, until);
    this.#take(wanted, known);
    this.#edited?.wire(new Set(this.#copies.keys()));
    this.#edited?.fill(this.#step!);
  }

  #planEdits(layout: EditLayout, native: NativeGraph, { taps }: KnownGraph, until: number): EditedGraph {
    const { memory } = this.#llama;
    const tools = { memory, tensors: this.#tensors, ops: this.#ops, arena: this.#editArena };
    const edited = new EditedGraph(tools, native, taps, layout, until);
    if (edited.points.some(({ node }) => this.#bufferType(node.address) !== this.#cpu))
      throw new EngineError("ENGINE_FAILED", `${ON_CPU_ONLY}; nothing is computed`);
    return edited;
  }

  /** Leave out what is computed from an index on. */
  #leaveOut({ parts: { nodes } }: Graph, from: number): void {
    for (let i = from; i < nodes.length; i++) this.#tensors.setOp(nodes[i]!, this.#ops.NONE);
  }

  #take(wanted: readonly Found[], { taps: { graph }, rewritten }: KnownGraph): void {
    const { nodes, viewOf } = graph.parts;
    /** By index. */
    const moved = new Map<number, Region>();
    for (const found of wanted) {
      const used = this.#edited?.used(found.index);
      if (used) {
        this.#found!.push(this.#slotOf(used.address, found, used.region, used.region.start));
        continue;
      }
      const t = nodes[found.index]!;
      const rootIndex = viewOf[found.index] === NONE ? found.index : viewOf[found.index]!;
      const root = graph.at(rootIndex).address;
      // Kernels that fuse operations skip tensors nobody reads; the flag makes them write this one.
      this.#tensors.addFlag(root, GGML_TENSOR_FLAG_OUTPUT);
      const region = rewritten.has(rootIndex) ? null : (moved.get(rootIndex) ?? this.#move(root));
      if (region) {
        moved.set(rootIndex, region);
        const offset = root === t ? 0 : this.#tensors.viewOffset(t) >> 2;
        this.#found!.push(this.#slotOf(t, found, region, region.start + offset));
      } else this.#copies.set(t, [...(this.#copies.get(t) ?? []), found]);
    }
    if (moved.size === 0) return;
    for (let i = 0; i < nodes.length; i++) {
      const region = viewOf[i] === NONE ? undefined : moved.get(viewOf[i]!);
      if (region) this.#point(nodes[i]!, region, this.#tensors.viewOffset(nodes[i]!));
    }
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
    for (const found of this.#copies.get(t)!) this.#found!.push(this.#slotOf(t, found, region, region.start));
  }

  #slotOf(t: TensorPointer, found: Found, region: Region, start: number): Slot {
    const slot = slotOf(this.#tensors, t, found, region, start);
    const [, topK] = this.#layout?.topK.find(([layer]) => layer === found.layer) ?? [];
    return topK === undefined || !OF_CHOSEN.has(found.stream) ? slot : firstChosen(slot, topK);
  }
}

/** Streams with an entry for each chosen expert of a row. */
const OF_CHOSEN: ReadonlySet<string> = new Set(["expert_ids", "expert_weights", "expert_outputs"]);

function opCodes<Name extends string>(llama: Llama, names: readonly Name[]): Record<Name, number> {
  const codes: Partial<Record<Name, number>> = {};
  // The walk ends before ggml's own list does: these are among the oldest operations.
  for (let op = 0; op < 64; op++) {
    const name = llama.opName(op) as Name;
    if (names.includes(name)) codes[name] = op;
  }
  return codes as Record<Name, number>;
}
