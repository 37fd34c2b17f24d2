/** Columns of a block; as many as {@link addUnits} has sums. */
export const COLUMNS = 8;

/**
 * Sum the columns of some units of a block. Sums in local variables stay in registers, and the numbers of a block lie
 * together: three times as fast as adding wide rows to an array, and nearly all of the time of a test of many samples.
 *
 * @param block `[units, COLUMNS]`.
 * @param units which of them, from `from` to `to`; the same one may come several times.
 * @param sums takes the sums at `at` and after.
 */
export function addUnits(
  block: Float64Array,
  units: Uint32Array,
  from: number,
  to: number,
  sums: Float64Array,
  at: number,
): void {
  let [a, b, c, d, e, f, g, h] = [0, 0, 0, 0, 0, 0, 0, 0];
  for (let i = from; i < to; i++) {
    const unit = units[i]! * COLUMNS;
    a += block[unit]!;
    b += block[unit + 1]!;
    c += block[unit + 2]!;
    d += block[unit + 3]!;
    e += block[unit + 4]!;
    f += block[unit + 5]!;
    g += block[unit + 6]!;
    h += block[unit + 7]!;
  }
  sums[at] = a;
  sums[at + 1] = b;
  sums[at + 2] = c;
  sums[at + 3] = d;
  sums[at + 4] = e;
  sums[at + 5] = f;
  sums[at + 6] = g;
  sums[at + 7] = h;
}

/** Numbers of some units, `[units, width]`, in blocks of {@link COLUMNS} columns. */
export class UnitBlocks {
  /** Columns, with those that fill the last block. */
  readonly width: number;
  readonly blocks: readonly Float64Array[];

  constructor(units: number, columns: number) {
    const blocks = Math.ceil(columns / COLUMNS);
    this.width = blocks * COLUMNS;
    this.blocks = Array.from({ length: blocks }, () => new Float64Array(units * COLUMNS));
  }

  add(unit: number, column: number, value: number): void {
    this.blocks[Math.floor(column / COLUMNS)]![unit * COLUMNS + (column % COLUMNS)]! += value;
  }
}
