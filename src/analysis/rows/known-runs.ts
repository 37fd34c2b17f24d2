/** Stands in for the expert of a row whose best expert is not known; see `LayerChunk.unranked`. */
export const unknownExpert = (ids: Uint8Array | Uint16Array): number =>
  ids.BYTES_PER_ELEMENT === 1 ? 0xff : 0xffff;

/** Whether a byte holds an expert's id and the one that stands for none. */
export const fitsByte = (experts: number): boolean => experts < 0x100;

/** Runs `[from, to)` of rows, among `rows`, that none of some layers leaves out; mostly all of them. */
export function* knownRuns(rows: number, leftOut: (row: number) => boolean): Generator<[number, number]> {
  for (let from = 0; from < rows; ) {
    while (from < rows && leftOut(from)) from++;
    let to = from;
    while (to < rows && !leftOut(to)) to++;
    if (to > from) yield [from, to];
    from = to;
  }
}
