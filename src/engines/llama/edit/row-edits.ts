import { lowerBound } from "../../../core/lower-bound.ts";
import { covers, type PlannedEdit, type PlannedRoutes } from "../../../core/planned-edit.ts";
import type { Chunk } from "../run/batch.ts";
import type { LayerRoutes } from "../tap/layer-routes.ts";
import { EDIT_OPS, type EditOp, gatheredOp, NEUTRAL } from "./edit-layout.ts";

/** So far below all others that an expert is never chosen, and has no share of a softmax. Finite, so that sums stay so. */
const BANNED = -1e30;
/** So far above all others that an expert is always chosen; each forced one is this much above the next. */
const FORCED = 2 ** 40;

/** What is done to one row, as rows of tables. Two rows with the same object are edited alike. */
export class RowEdit {
  /** Edits that hold for the row. */
  readonly #edits: readonly PlannedEdit[];
  /** The recorded row of those that are replays. */
  readonly #replayed: ReadonlyMap<PlannedEdit, number>;
  readonly #routes: LayerRoutes;
  readonly #made = new Map<string, Float32Array | null>();

  constructor(
    edits: readonly PlannedEdit[],
    replayed: ReadonlyMap<PlannedEdit, number>,
    routes: LayerRoutes,
  ) {
    this.#edits = edits;
    this.#replayed = replayed;
    this.#routes = routes;
  }

  /** The row of a table, `null` where nothing is changed. */
  row(layer: number, op: EditOp, width: number): Float32Array | null {
    const key = `${layer} ${op}`;
    let made = this.#made.get(key);
    if (made === undefined) {
      made = this.#make(layer, op, width);
      this.#made.set(key, made);
    }
    return made;
  }

  /** The recorded weights of the row in a layer, if they are used; `null`: the rule's own are. */
  recordedWeights(layer: number): Float32Array | null {
    for (const edit of this.#edits)
      if (edit.kind === "replay" && edit.layers.includes(layer)) {
        const recorded = recordedRow(edit.routes.weights, edit.routes, layer, this.#replayed.get(edit)!);
        if (recorded) return recorded;
      }
    return null;
  }

  #make(layer: number, op: EditOp, width: number): Float32Array | null {
    const row = new Float32Array(width).fill(NEUTRAL[EDIT_OPS[op].op]);
    let changed = false;
    for (const edit of this.#edits)
      if (edit.layers.includes(layer)) changed = this.#apply(edit, layer, op, row) || changed;
    return changed ? row : null;
  }

  /** @returns whether the edit has to do with the table. */
  #apply(edit: PlannedEdit, layer: number, op: EditOp, row: Float32Array): boolean {
    const score = this.#routes.get(layer)?.gating?.score;
    switch (edit.kind) {
      case "add":
        if (op !== "output") return false;
        for (let i = 0; i < row.length; i++) row[i]! += edit.vector[i]!;
        return true;
      case "bias":
        if (op !== "logits") return false;
        edit.experts.forEach((expert, i) => {
          row[expert]! += edit.values[i]!;
        });
        return true;
      case "ban":
        if (op !== "choice" && !(op === "logits" && score === "softmax")) return false;
        for (const expert of edit.experts) row[expert] = BANNED;
        return true;
      case "force":
        if (op !== "choice") return false;
        force(row, edit.experts);
        return true;
      case "topK":
        if (op !== gatheredOp(score)) return false;
        row.fill(op === "gathered" ? 0 : BANNED, edit.topK);
        return true;
      case "replay": {
        const at = this.#replayed.get(edit)!;
        if (op === "choice") force(row, recordedRow(edit.routes.ids, edit.routes, layer, at)!);
        else if (op === "kept_weights" && edit.routes.weights) row.fill(0);
        else if (op === "weights" && edit.routes.weights)
          row.set(recordedRow(edit.routes.weights, edit.routes, layer, at)!);
        else return false;
        return true;
      }
    }
  }
}

/** The first named is to be ranked first. */
function force(row: Float32Array, experts: ArrayLike<number>): void {
  for (let i = 0; i < experts.length; i++) row[experts[i]!] = FORCED * (experts.length - i);
}

function recordedRow<A extends Uint16Array | Float32Array>(
  byLayer: ReadonlyMap<number, A> | null,
  { positions }: PlannedRoutes,
  layer: number,
  at: number,
): A | null {
  const values = byLayer?.get(layer);
  if (!values) return null;
  const width = values.length / positions.length;
  return values.subarray(at * width, (at + 1) * width) as A;
}

/** Tells of each token of a step what is done to its row. */
export class RowEdits {
  readonly #routes: LayerRoutes;
  /** Rows with the same edits, none of them a replay, share one. */
  readonly #shared = new Map<string, RowEdit | null>();
  readonly #numbers = new Map<PlannedEdit, number>();

  constructor(routes: LayerRoutes) {
    this.#routes = routes;
  }

  /** By token of the step; `null`: it is not edited. */
  of(chunks: readonly Chunk[]): (RowEdit | null)[] {
    const rows: (RowEdit | null)[] = [];
    for (const { running, from, count } of chunks) {
      const { edits = [], tokens } = running.request;
      for (let position = from; position < from + count; position++)
        rows.push(this.#of(edits, tokens, position, running.tokens[position]!));
    }
    return rows;
  }

  #of(edits: readonly PlannedEdit[], tokens: Int32Array, position: number, tokenId: number): RowEdit | null {
    if (edits.length === 0) return null;
    const replayed = new Map<PlannedEdit, number>();
    const holding = edits.filter((edit) => {
      if (!covers(edit, tokens, position, tokenId)) return false;
      if (edit.kind !== "replay") return true;
      const { positions, tokenIds } = edit.routes;
      const at = lowerBound(positions, position);
      if (positions[at] !== position || tokenIds[at] !== tokenId) return false;
      replayed.set(edit, at);
      return true;
    });
    if (replayed.size > 0) return new RowEdit(holding, replayed, this.#routes);
    const key = holding.map((edit) => this.#numberOf(edit)).join(" ");
    let shared = this.#shared.get(key);
    if (shared === undefined) {
      shared = holding.length === 0 ? null : new RowEdit(holding, replayed, this.#routes);
      this.#shared.set(key, shared);
    }
    return shared;
  }

  #numberOf(edit: PlannedEdit): number {
    const number = this.#numbers.get(edit) ?? this.#numbers.size;
    this.#numbers.set(edit, number);
    return number;
  }
}
