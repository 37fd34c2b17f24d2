/**
 * Which rows have a value that is no finite number (NaN, or an infinity).
 *
 * @param values `[rows, width]`.
 * @returns per row 1 where one of them is; `null` where none is.
 */
export function rowsNotFinite(values: ArrayLike<number>, width: number): Uint8Array | null {
  let found: Uint8Array | null = null;
  for (let from = 0, row = 0; from < values.length; from += width, row++) {
    // 0 for finite values and NaN for others, in half the time of a question each.
    let sum = 0;
    for (let i = from; i < from + width; i++) sum += values[i]! * 0;
    if (sum === 0) continue;
    found ??= new Uint8Array(values.length / width);
    found[row] = 1;
  }
  return found;
}

/** The row alone. */
export function isFiniteRow(values: ArrayLike<number>, from: number, to: number): boolean {
  let sum = 0;
  for (let i = from; i < to; i++) sum += values[i]! * 0;
  return sum === 0;
}
