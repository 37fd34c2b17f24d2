import { EngineError } from "../../../core/errors.ts";
import type { Plan } from "../../../core/plan.ts";
import type { RowBatch } from "../../../core/rows.ts";
import { type StreamName, streamSpec } from "../../../core/streams.ts";
import { TENSOR_ARRAYS } from "../../../core/tensor.ts";
import type { CollectedStep } from "./collected-step.ts";
import { attentionRows, plainRows, type RowCopy, topAttentionRows, type Values } from "./row-copy.ts";
import type { Slot } from "./slot.ts";

/** Rows of decode steps are gathered up to this many before they are sent: a message a step would cost more. */
const GATHERED_ROWS = 64;
/** Or up to so many bytes: what is large is sent as it comes. */
const GATHERED_BYTES = 16 << 20;

interface Column {
  readonly stream: StreamName;
  readonly layer: number;
  readonly width: number;
  readonly copy: RowCopy;
}

/** Rows in one transferable buffer: labels first, then the streams, layer by layer. */
interface Staging {
  readonly capacity: number;
  readonly buffer: ArrayBuffer;
  readonly sample: Int32Array<ArrayBuffer>;
  readonly position: Int32Array<ArrayBuffer>;
  readonly tokenId: Int32Array<ArrayBuffer>;
  readonly phase: Uint8Array<ArrayBuffer>;
  readonly values: readonly Values[];
}

/** Packs the selected rows of steps into batches that own their memory. */
export class RowPacker {
  readonly #plan: Plan;
  #columns: Column[] | null = null;
  #staging: Staging | null = null;
  #rows = 0;
  /** Those of the last step, and the same by column. */
  #slots: readonly Slot[] | null = null;
  #ordered: readonly Slot[] = [];

  constructor(plan: Plan) {
    this.#plan = plan;
  }

  /** Whether `rows` more fit; if not, {@link take} comes first. */
  fits(rows: number): boolean {
    return this.#staging === null || this.#rows + rows <= this.#staging.capacity;
  }

  add(step: CollectedStep): void {
    const { selected } = step;
    if (selected.length === 0) return;
    this.#columns ??= this.#findColumns(step.slots);
    // An empty area left by smaller steps.
    if (!this.fits(selected.length)) this.#staging = null;
    this.#staging ??= makeStaging(this.#columns, Math.max(selected.length, gatheredRows(this.#columns)));
    const staging = this.#staging;
    const at = this.#rows;
    selected.forEach((row, i) => {
      staging.sample[at + i] = row.sample;
      staging.position[at + i] = row.position;
      staging.tokenId[at + i] = row.tokenId;
      staging.phase[at + i] = row.phase;
    });
    const ordered = this.#inColumnOrder(step.slots);
    this.#columns.forEach(({ copy }, index) => {
      copy(ordered[index]!, step, staging.values[index]!, at);
    });
    this.#rows += selected.length;
  }

  /** Hand over what was gathered; the batch's buffer is the caller's to transfer. */
  take(): RowBatch | null {
    if (!this.#staging || this.#rows === 0) return null;
    const rows = this.#rows;
    const full = this.#staging;
    const staging = rows === full.capacity ? full : shrink(full, this.#columns!, rows);
    // A half-empty staging area was copied from and serves again.
    if (staging === full) this.#staging = null;
    this.#rows = 0;
    const streams = new Map<StreamName, Map<number, Values>>(
      this.#plan.streams.map(({ name }) => [name, new Map()]),
    );
    this.#columns!.forEach(({ stream, layer }, index) => {
      streams.get(stream)!.set(layer, staging.values[index]!);
    });
    const { sample, position, tokenId, phase } = staging;
    return { rows, sample, position, tokenId, phase, streams };
  }

  /** The slots in the order of the columns; looked up again only when a new graph brought others. */
  #inColumnOrder(slots: readonly Slot[]): readonly Slot[] {
    if (slots !== this.#slots) {
      this.#ordered = this.#columns!.map(({ stream, layer }) => slotOf(slots, stream, layer));
      this.#slots = slots;
    }
    return this.#ordered;
  }

  #findColumns(slots: readonly Slot[]): Column[] {
    const columns: Column[] = [];
    for (const { name: stream, layers, dims } of this.#plan.streams)
      layers.forEach((layer, i) => {
        const slot = slotOf(slots, stream, layer);
        const sizes = dims?.[i] ?? [slot.width];
        const width = sizes.reduce((product, size) => product * size, 1);
        columns.push({ stream, layer, width, copy: this.#copyOf(stream, sizes) });
      });
    return columns;
  }

  #copyOf(stream: StreamName, sizes: readonly number[]): RowCopy {
    const headsAndKeys = sizes as readonly [number, number];
    if (stream === "attention_keys") return topAttentionRows(headsAndKeys, "positions");
    if (stream === "attention")
      return this.#plan.topKeys === null
        ? attentionRows(headsAndKeys)
        : topAttentionRows(headsAndKeys, "weights");
    return plainRows(sizes.reduce((product, size) => product * size, 1));
  }
}

function slotOf(slots: readonly Slot[], stream: StreamName, layer: number): Slot {
  const slot = slots.find((candidate) => candidate.stream === stream && candidate.layer === layer);
  if (slot) return slot;
  throw new EngineError(
    "ENGINE_FAILED",
    `nothing was taken of ${stream} in layer ${layer}; please report this model`,
  );
}

/** At least one; as many as are worth a message. */
function gatheredRows(columns: readonly Column[]): number {
  const bytes = columns.reduce(
    (sum, { stream, width }) => sum + width * TENSOR_ARRAYS[typeOf(stream)].BYTES_PER_ELEMENT,
    0,
  );
  return Math.max(1, Math.min(GATHERED_ROWS, Math.floor(GATHERED_BYTES / Math.max(1, bytes))));
}

const typeOf = (stream: StreamName) => streamSpec(stream).type;

function makeStaging(columns: readonly Column[], capacity: number): Staging {
  const sizes = columns.map(
    ({ stream, width }) => capacity * width * TENSOR_ARRAYS[typeOf(stream)].BYTES_PER_ELEMENT,
  );
  // Every part starts at a multiple of 8 bytes, whatever the sizes before it.
  const align = (bytes: number) => (bytes + 7) & ~7;
  const labels = 3 * align(4 * capacity) + align(capacity);
  const buffer = new ArrayBuffer(sizes.reduce((sum, size) => sum + align(size), labels));
  let offset = 0;
  const part = <A>(
    ArrayType: new (b: ArrayBuffer, o: number, n: number) => A,
    count: number,
    bytes: number,
  ): A => {
    const array = new ArrayType(buffer, offset, count);
    offset += align(bytes);
    return array;
  };
  return {
    capacity,
    buffer,
    sample: part(Int32Array<ArrayBuffer>, capacity, 4 * capacity),
    position: part(Int32Array<ArrayBuffer>, capacity, 4 * capacity),
    tokenId: part(Int32Array<ArrayBuffer>, capacity, 4 * capacity),
    phase: part(Uint8Array<ArrayBuffer>, capacity, capacity),
    values: columns.map(({ stream, width }, i) =>
      part<Values>(TENSOR_ARRAYS[typeOf(stream)], capacity * width, sizes[i]!),
    ),
  };
}

function shrink(from: Staging, columns: readonly Column[], rows: number): Staging {
  const to = makeStaging(columns, rows);
  to.sample.set(from.sample.subarray(0, rows));
  to.position.set(from.position.subarray(0, rows));
  to.tokenId.set(from.tokenId.subarray(0, rows));
  to.phase.set(from.phase.subarray(0, rows));
  to.values.forEach((values, i) => {
    values.set(from.values[i]!.subarray(0, values.length));
  });
  return to;
}
