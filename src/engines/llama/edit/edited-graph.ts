import { EngineError } from "../../../core/errors.ts";
import { append } from "../../../core/extremes.ts";
import { type EditPoint, type EditPointName, editPoint } from "../graph/edit-points.ts";
import type { GraphNode } from "../graph/graph.ts";
import type { GraphTaps } from "../graph/graph-taps.ts";
import type { NativeGraph } from "../native/device-bindings.ts";
import type { Memory } from "../native/native-memory.ts";
import type { TensorPointer } from "../native/pointers.ts";
import { TENSOR, type TensorReader } from "../native/tensor-reader.ts";
import type { Arena, Region } from "../tap/arena.ts";
import type { StepRows } from "../tap/row-order.ts";
import { EDIT_OPS, type EditLayout, type EditOp } from "./edit-layout.ts";
import { EditTable } from "./edit-table.ts";

/** What it takes to change graphs. */
export interface GraphTools {
  readonly memory: Memory;
  readonly tensors: TensorReader;
  /** ggml's numbers of the operations. */
  readonly ops: { readonly NONE: number; readonly ADD: number; readonly MUL: number };
  readonly arena: Arena;
}

/** What stands where nothing has been computed: a NaN that no operation gives. */
const UNTOUCHED = 0x7fc0dead;

/** A tensor of ours that takes the place of one of the graph's, for some of its readers. */
interface Replacement {
  readonly point: EditPoint;
  readonly name: EditPointName;
  readonly address: TensorPointer;
  readonly region: Region;
}

/**
 * A graph with operations of our own in it: each adds a table to a tensor, or multiplies it, a row of the table for
 * each row of the step, and those who read the tensor read the outcome instead. llama.cpp computes them with all the
 * others for as long as it uses the graph again; what is done to a row changes with the table.
 *
 * The graph's list of operations has no room for more. But it names views too, which compute nothing: as many of them
 * as operations come in are left out of the list. They stay what they are for those who read them.
 */
export class EditedGraph {
  readonly #tools: GraphTools;
  readonly #native: NativeGraph;
  readonly #taps: GraphTaps;
  readonly #tables: EditTable[] = [];
  /** By index of a tensor of the graph, what comes after it in the list of operations. */
  readonly #after = new Map<number, TensorPointer[]>();
  /** The last of each point, by layer and point. */
  readonly #replacements = new Map<string, Replacement>();
  /** Where the graph was written to, and the 8 bytes that were there. */
  readonly #undo: (readonly [address: number, value: number])[] = [];
  #order: readonly TensorPointer[] = [];

  /**
   * Make the tensors that a layout needs. Nothing of the graph is changed yet.
   *
   * @param until index of the first operation that is not computed.
   * @throws EngineError naming what is not proven in this graph.
   */
  constructor(tools: GraphTools, native: NativeGraph, taps: GraphTaps, layout: EditLayout, until: number) {
    this.#tools = tools;
    this.#native = native;
    this.#taps = taps;
    for (const { layer, op } of layout.places) {
      const name = EDIT_OPS[op].point;
      const key = `${layer} ${name}`;
      const point = this.#replacements.get(key)?.point ?? provenPoint(taps, layer, name);
      if (point.node.index < until) this.#replacements.set(key, this.#make(layer, op, name, point));
    }
  }

  /** Tensors whose rows must be the step's. */
  get points(): readonly EditPoint[] {
    return [...this.#replacements.values()].map(({ point }) => point);
  }

  /** What takes the place of a tensor that is captured as it is used; `null`: nothing. */
  used(index: number): Pick<Replacement, "address" | "region"> | null {
    for (const each of this.#replacements.values())
      if (each.point.node.index === index && (each.name === "weights" || each.name === "output")) return each;
    return null;
  }

  /**
   * Change the graph. Call when what is captured has its place.
   *
   * @param keep tensors that must stay in the list of operations.
   */
  wire(keep: ReadonlySet<TensorPointer>): void {
    // Those who choose come last: they may read the logits too.
    const byOrder = [...this.#replacements.values()].sort(
      (a, b) => Number(a.name === "choice") - Number(b.name === "choice"),
    );
    for (const each of byOrder) this.#redirect(each);
    this.#insert(keep);
  }

  /**
   * Call when the graph has been computed for the first time.
   *
   * @throws EngineError if llama.cpp has left out one of the operations.
   */
  assertComputed(): void {
    for (const { region, point, name } of this.#replacements.values())
      if (point.node.shape.every((size) => size > 0) && region.ints[region.start] === UNTOUCHED)
        throw new EngineError(
          "ENGINE_FAILED",
          `llama.cpp did not compute an edit (${name} of tensor ${point.node.name}); nothing of the step is given`,
        );
  }

  /** Lay out the tables for a step; where they are of another size, llama.cpp will build another graph. */
  fill(step: StepRows): void {
    for (const table of this.#tables) table.fill(step);
  }

  /** Whether llama.cpp still has this graph; else it has built another in its place. */
  isThere(): boolean {
    const { memory } = this.#tools;
    const at = this.#native.nodesAt;
    return this.#order.length > 0 && this.#order.every((node, i) => memory.uint64(at + 8 * i) === node);
  }

  /** Make the graph what it was. */
  undo(): void {
    for (const [address, value] of this.#undo.reverse()) this.#tools.memory.setUint64(address, value);
    this.#undo.length = 0;
    this.#order = [];
  }

  #make(layer: number, op: EditOp, name: EditPointName, point: EditPoint): Replacement {
    const { arena, tensors, ops } = this.#tools;
    const { node, rows } = point;
    const size = node.shape.reduce((all, axis) => all * axis, 1);
    const count = node.shape[rows.axis]!;
    const [table, region] = [arena.allocate(4 * size)!, arena.allocate(4 * size)!];
    const [operand, outcome] = [arena.allocate(TENSOR.size)!, arena.allocate(TENSOR.size)!];
    const values = table.floats.subarray(table.start, table.start + size);
    this.#tables.push(new EditTable(layer, op, rows.of, count === 0 ? 1 : size / count, values));
    region.ints.fill(UNTOUCHED, region.start, region.start + size);
    const source = this.#current(node)?.address ?? node.address;
    tensors.make(operand.address, node.address, { op: ops.NONE, data: table.address, sources: [] });
    tensors.make(outcome.address, node.address, {
      op: ops[EDIT_OPS[op].op],
      data: region.address,
      sources: [source, operand.address],
    });
    const after = this.#after.get(node.index) ?? [];
    after.push(outcome.address);
    this.#after.set(node.index, after);
    return { point, name, address: outcome.address, region };
  }

  /** What all readers of a tensor read by now. */
  #current(node: GraphNode): Replacement | null {
    const of = [...this.#replacements.values()].filter(
      ({ point, name }) => point.node === node && name !== "choice",
    );
    return of.at(-1) ?? null;
  }

  /** Have the readers of a point read another tensor. */
  #redirect({ point: { node, readers }, address, region }: Replacement): void {
    const { tensors, memory } = this.#tools;
    const before = new Set([node.address, ...[...this.#replacements.values()].map((each) => each.address)]);
    for (const reader of readers) {
      const sources = reader.sources.length;
      for (let place = 0; place < sources; place++)
        if (reader.sources[place] === node && before.has(tensors.source(reader.address, place)))
          this.#write(reader.address + TENSOR.src + 8 * place, address);
    }
    const { graph } = this.#taps;
    const views = new Set(readers.filter(({ index }) => graph.isView(index)));
    for (const view of views) {
      this.#write(view.address + TENSOR.viewSrc, address);
      this.#write(
        view.address + TENSOR.data,
        region.address + memory.uint64(view.address + TENSOR.viewOffset),
      );
      for (const reader of view.readers) if (graph.isView(reader.index)) views.add(reader);
    }
  }

  /** Put the new operations into the list, in place of views. */
  #insert(keep: ReadonlySet<TensorPointer>): void {
    const { nodes, nodesAt } = this.#native;
    const { graph } = this.#taps;
    let missing = [...this.#after.values()].reduce((sum, list) => sum + list.length, 0);
    const order: TensorPointer[] = [];
    for (let i = 0; i < nodes.length; i++) {
      const node = nodes[i]!;
      if (i > 0 && missing > 0 && graph.isView(i) && !keep.has(node) && !this.#after.has(i)) missing--;
      else order.push(node);
      append(order, this.#after.get(i) ?? []);
    }
    if (missing > 0)
      throw new EngineError(
        "ENGINE_FAILED",
        "llama.cpp's graph has no room for the edits; nothing is computed",
      );
    order.forEach((node, i) => {
      if (nodes[i] !== node) this.#write(nodesAt + 8 * i, node);
    });
    this.#order = order;
  }

  #write(address: number, value: number): void {
    const { memory } = this.#tools;
    this.#undo.push([address, memory.uint64(address)]);
    memory.setUint64(address, value);
  }
}

function provenPoint(taps: GraphTaps, layer: number, name: EditPointName): EditPoint {
  const proof = editPoint(taps, layer, name);
  if ("proven" in proof) return proof.proven;
  throw new EngineError(
    "ENGINE_FAILED",
    `llama.cpp computes this step in another way than was looked at when the model was loaded, and layer ${layer} ` +
      `cannot be edited in it: ${proof.refused}. Nothing of the step is given; leave the edit out`,
  );
}
