import { EngineError } from "../../../core/errors.ts";
import type { CollectedStep } from "./collected-step.ts";
import type { Slot } from "./slot.ts";

export type Values = Float32Array<ArrayBuffer> | Uint16Array<ArrayBuffer> | Int32Array<ArrayBuffer>;

/** Copy the selected rows of a step from where the graph left them into `out`, from row `at` on. */
export type RowCopy = (slot: Slot, step: CollectedStep, out: Values, at: number) => void;

/** Rows as they are, `width` values each. */
export function plainRows(width: number): RowCopy {
  return (slot, step, out, at) => {
    if (slot.width !== width) throw unexpected(slot, step, `rows of ${width}`);
    const { selected } = step;
    const rowOf = rowIndex(slot, step);
    const { values, start, rowStride, dense } = slot;
    const first = rowOf(0);
    const contiguous =
      dense && rowStride === width && rowOf(selected.length - 1) - first === selected.length - 1;
    if (contiguous && width * selected.length > 32) {
      const from = start + first * rowStride;
      out.set(values.subarray(from, from + selected.length * width), at * width);
      return;
    }
    const offsets = dense ? null : rowOffsets(slot);
    let to = at * width;
    for (let i = 0; i < selected.length; i++) {
      const from = start + rowOf(i) * rowStride;
      if (offsets) for (let j = 0; j < width; j++) out[to++] = values[from + offsets[j]!]!;
      else for (let j = 0; j < width; j++) out[to++] = values[from + j]!;
    }
  };
}

/**
 * Attention weights `[heads, keys]` of each row. llama.cpp's rows are as long as the part of the cache in use, in
 * multiples of 256 cells; the run sees to it that cell i holds position i. Without a cache they are as long as the step.
 */
export function attentionRows([heads, keys]: readonly [number, number]): RowCopy {
  return (slot, step, out, at) => {
    const { values } = slot;
    forEachHead(slot, step, heads, (row, head, from, keyStride, count) => {
      const to = ((at + row) * heads + head) * keys;
      const kept = Math.min(count, keys);
      for (let key = 0; key < kept; key++) out[to + key] = values[from + key * keyStride]!;
      out.fill(0, to + kept, to + keys);
    });
  };
}

/** The `count` largest weights of each head, falling (`weights`), or the positions they are at (`positions`). */
export function topAttentionRows(
  [heads, count]: readonly [number, number],
  what: "weights" | "positions",
): RowCopy {
  const best = new Int32Array(count);
  return (slot, step, out, at) => {
    const { values } = slot;
    forEachHead(slot, step, heads, (row, head, from, keyStride, keys) => {
      const found = largest(values, from, keyStride, keys, best);
      const to = ((at + row) * heads + head) * count;
      if (what === "positions") for (let i = 0; i < count; i++) out[to + i] = i < found ? best[i]! : -1;
      else for (let i = 0; i < count; i++) out[to + i] = i < found ? values[from + best[i]! * keyStride]! : 0;
    });
  };
}

/** Calls back with where a row's keys begin, for each row and head; the keys that the row does not see left out. */
function forEachHead(
  slot: Slot,
  step: CollectedStep,
  heads: number,
  visit: (row: number, head: number, from: number, keyStride: number, keys: number) => void,
): void {
  const [, headAxis, keyAxis] = slot.axes;
  if (headAxis!.size !== heads) throw unexpected(slot, step, `${heads} heads`);
  const rowOf = rowIndex(slot, step);
  step.selected.forEach(({ position }, row) => {
    const keys = step.causal ? position + 1 : step.tokens;
    if (keys > keyAxis!.size) throw unexpected(slot, step, `${keys} keys or more`);
    for (let head = 0; head < heads; head++) {
      const from = slot.start + rowOf(row) * slot.rowStride + head * headAxis!.stride;
      visit(row, head, from, keyAxis!.stride, keys);
    }
  });
}

/** Indices of the largest values, falling, equal ones in order; as many as `best` takes. Gives how many there are. */
function largest(
  values: Slot["values"],
  from: number,
  stride: number,
  length: number,
  best: Int32Array,
): number {
  const at = (index: number) => values[from + index * stride]!;
  let found = 0;
  for (let index = 0; index < length; index++) {
    if (found === best.length && at(best[found - 1]!) >= at(index)) continue;
    let place = found < best.length ? found++ : found - 1;
    for (; place > 0 && at(best[place - 1]!) < at(index); place--) best[place] = best[place - 1]!;
    best[place] = index;
  }
  return found;
}

/** From a selected row's index to its row in the tensor. */
function rowIndex(slot: Slot, step: CollectedStep): (i: number) => number {
  // In its last layer llama.cpp computes only the rows that are outputs.
  const byOutput = slot.rowsAre === null ? slot.rows !== step.tokens : slot.rowsAre === "outputs";
  if (slot.rows !== (byOutput ? step.outputs : step.tokens)) throw unexpected(slot, step, "a row a token");
  return byOutput ? (i) => step.outputIndex[step.selected[i]!.token]! : (i) => step.selected[i]!.token;
}

/** Where the values of a row lie, from its first one; rows are row-major in a capture. */
function rowOffsets({ axes }: Slot): Int32Array {
  let offsets = Int32Array.of(0);
  for (const { size, stride } of axes) {
    const next = new Int32Array(offsets.length * size);
    for (let i = 0; i < next.length; i++) next[i] = offsets[Math.floor(i / size)]! + (i % size) * stride;
    offsets = next;
  }
  return offsets;
}

function unexpected(slot: Slot, step: CollectedStep, expected: string): EngineError {
  return new EngineError(
    "ENGINE_FAILED",
    `${slot.stream} of layer ${slot.layer} came with ${slot.rows} rows of ${slot.width} values for ${step.tokens} ` +
      `tokens (${step.outputs} outputs), expected ${expected}; please report this model`,
  );
}
