/** Index of the first of ascending values in `[from, to)` that is not below `value`; `to`: there is none. */
export function lowerBound(
  sorted: Int32Array | Float64Array,
  value: number,
  from = 0,
  to = sorted.length,
): number {
  while (from < to) {
    const middle = (from + to) >> 1;
    if (sorted[middle]! < value) from = middle + 1;
    else to = middle;
  }
  return from;
}
