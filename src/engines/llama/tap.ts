import { EngineError } from "../../errors.ts";
import { Arena, type Region } from "./arena.ts";
import {
  GGML_TENSOR_FLAG_OUTPUT,
  GGML_TYPE,
  type Llama,
  type Pointer,
  type TensorPointer,
  TensorReader,
} from "./bindings.ts";
import { OUTPUT, OutputHead } from "./output-head.ts";
import type { TapTarget } from "./taps.ts";

/**
 * - `redirect`: the kernels write captured tensors straight into our memory;
 * - `copy`: each tensor is copied after it is computed, which stops the graph at each of them;
 * - `auto`: redirect where a tensor lies in host memory, copy elsewhere (GPU).
 */
export type Strategy = "auto" | "redirect" | "copy";

/** Where the values of one (stream, layer) are after a step. Offsets and strides count 4-byte elements. */
export interface Slot extends TapTarget {
  readonly values: Float32Array | Int32Array;
  readonly start: number;
  readonly rowStride: number;
  readonly width: number;
  readonly rows: number;
}

/**
 * Taps tensors of a running graph through llama.cpp's eval callback.
 *
 * Redirecting means: when the callback is asked about a tensor before the graph runs, its `data` pointer is replaced,
 * and so are those of the views on it. The pointers stay in the graph for as long as llama.cpp reuses it, so after
 * the step that built a graph the callback is switched off ({@link settle}) and costs nothing until llama.cpp builds
 * the next one, which switches it on again.
 */
export class Tap {
  readonly callback: Pointer;
  readonly #llama: Llama;
  readonly #tensors: TensorReader;
  readonly #ops: Readonly<Record<"NONE" | "MUL_MAT" | "ADD", number>>;
  readonly #strategy: Strategy;
  readonly #arena = new Arena();
  readonly #head: OutputHead;
  #targets: ReadonlyMap<string, TapTarget> = new Map();
  /** Address of each redirected root's new data. */
  readonly #moved = new Map<TensorPointer, Region>();
  /** Views met so far of roots that have not been moved: a root may be moved when a later view of it is wanted. */
  readonly #views = new Map<TensorPointer, TensorPointer[]>();
  #slots: Slot[] = [];
  /** Slots found while the present graph is walked; they replace `#slots` when it has run. */
  #found: Slot[] | null = null;
  #copied = false;
  #error: unknown = null;

  constructor(llama: Llama, strategy: Strategy) {
    this.#llama = llama;
    this.#tensors = new TensorReader(llama.memory);
    this.#strategy = strategy;
    this.#ops = opCodes(llama, ["NONE", "MUL_MAT", "ADD"]);
    this.#head = new OutputHead(this.#tensors, this.#ops);
    this.callback = llama.registerEval((tensor, ask) => this.#on(tensor, ask));
  }

  /** What to capture from the next graph on. The caller makes llama.cpp build a new graph. */
  setTargets(targets: ReadonlyMap<string, TapTarget>): void {
    this.#targets = targets;
    this.#slots = [];
    // An aborted step leaves the walk of its graph unsettled, and its addresses may come again.
    this.#found = null;
    this.#error = null;
    this.#moved.clear();
    this.#views.clear();
    this.#head.forget();
  }

  /** Whether the next step needs the model's output; without, it is not computed for rows that are only captured. */
  needOutput(needed: boolean): void {
    this.#head.need(needed);
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
    if (!this.#found) return this.#slots; // the graph was reused, and so were its pointers
    this.#slots = lastOfEach(this.#found);
    this.#found = null;
    this.#moved.clear();
    this.#views.clear();
    // Asked for anew each time: llama.cpp makes another scheduler when it reserves its graphs again.
    const scheduler = this.#copied ? null : this.#llama.scheduler?.(context);
    if (scheduler) this.#llama.setEvalCallback(scheduler, null, null);
    return this.#slots;
  }

  close(): void {
    this.#llama.unregister(this.callback);
  }

  /** Nothing may be thrown into native code: an error is kept for {@link settle}. */
  #on(tensor: TensorPointer, ask: boolean): boolean {
    try {
      if (!this.#found) this.#startGraph();
      if (ask) return this.#ask(tensor);
      this.#copy(tensor);
      return true;
    } catch (error) {
      this.#error ??= error;
      return !ask;
    }
  }

  #startGraph(): void {
    this.#found = [];
    this.#copied = false;
    this.#head.forget();
    this.#arena.reset();
  }

  /** @returns whether the tensor is to be copied once it is computed. */
  #ask(t: TensorPointer): boolean {
    if (this.#targets.size === 0) return false;
    const root = this.#tensors.viewSource(t);
    if (root !== 0) this.#followRoot(t, root);
    const name = this.#tensors.name(t);
    if (name === OUTPUT) this.#head.found(t);
    const target = this.#targets.get(name);
    if (!target || (target.onlyIfRaw && !this.#isRaw(t))) return false;
    const source = root || t;
    if (this.#strategy === "copy" || (!this.#moved.has(source) && !this.#canMove(source))) {
      this.#copied = true;
      return true;
    }
    const region = this.#moved.get(source) ?? this.#move(source);
    const offset = root === 0 ? 0 : this.#tensors.viewOffset(t) >> 2;
    this.#found!.push(this.#slot(t, target, region, region.start + offset));
    return false;
  }

  #isRaw(t: TensorPointer): boolean {
    const op = this.#tensors.op(t);
    return op === this.#ops.MUL_MAT || op === this.#ops.ADD;
  }

  #followRoot(view: TensorPointer, root: TensorPointer): void {
    const region = this.#moved.get(root);
    if (region) {
      this.#tensors.setData(view, region.address + this.#tensors.viewOffset(view));
      return;
    }
    const views = this.#views.get(root);
    if (views) views.push(view);
    else this.#views.set(root, [view]);
  }

  #canMove(root: TensorPointer): boolean {
    const host = this.#llama.isHostBuffer(this.#tensors.buffer(root));
    if (!host && this.#strategy === "redirect")
      throw new EngineError(
        "ENGINE_FAILED",
        `${this.#tensors.name(root)} lies in device memory and cannot be redirected; use strategy "auto" or "copy"`,
      );
    return host;
  }

  #move(root: TensorPointer): Region {
    const region = this.#arena.allocate(this.#llama.tensorBytes(root));
    this.#tensors.setData(root, region.address);
    // Kernels that fuse operations skip tensors nobody reads; the flag makes them write this one.
    this.#tensors.addFlag(root, GGML_TENSOR_FLAG_OUTPUT);
    this.#moved.set(root, region);
    for (const view of this.#views.get(root) ?? [])
      this.#tensors.setData(view, region.address + this.#tensors.viewOffset(view));
    return region;
  }

  #copy(t: TensorPointer): void {
    const bytes = this.#llama.tensorBytes(t);
    const region = this.#arena.allocate(bytes);
    if (bytes > 0) this.#llama.readTensor(t, region.bytes, 0, bytes);
    this.#found!.push(this.#slot(t, this.#targets.get(this.#tensors.name(t))!, region, region.start));
  }

  #slot(t: TensorPointer, target: TapTarget, region: Region, start: number): Slot {
    const { rowAxis, stream } = target;
    const type = this.#tensors.type(t);
    const expected = stream === "expert_ids" ? GGML_TYPE.I32 : GGML_TYPE.F32;
    const width = rowAxis === 1 ? this.#tensors.ne(t, 0) : this.#tensors.ne(t, 0) * this.#tensors.ne(t, 1);
    const dense =
      this.#tensors.nb(t, 0) === 4 &&
      (rowAxis === 1 || this.#tensors.nb(t, 1) === 4 * this.#tensors.ne(t, 0));
    if (type !== expected || !dense)
      throw new EngineError(
        "ENGINE_FAILED",
        `${this.#tensors.name(t)} has an unexpected type (${type}) or layout; moescope cannot capture ${stream} from this model`,
      );
    return {
      ...target,
      values: expected === GGML_TYPE.I32 ? region.ints : region.floats,
      start,
      rowStride: this.#tensors.nb(t, rowAxis) >> 2,
      width,
      rows: this.#tensors.ne(t, rowAxis),
    };
  }
}

/** Of several tensors for the same (stream, layer), the one computed last. */
function lastOfEach(slots: readonly Slot[]): Slot[] {
  return [...new Map(slots.map((slot) => [`${slot.stream}-${slot.layer}`, slot])).values()];
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
