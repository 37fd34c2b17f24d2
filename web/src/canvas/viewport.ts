/** The part of an axis that is seen: cells `[start, start + length)`, fractions included. */
export interface Span {
  readonly start: number;
  readonly length: number;
}

/** Closer than this nothing more is to be seen. */
const MIN_CELLS = 4;

/** A span that lies within `cells`, and shows at least {@link MIN_CELLS} of them. */
export function clampSpan({ start, length }: Span, cells: number): Span {
  const held = Math.min(cells, Math.max(Math.min(MIN_CELLS, cells), length));
  return { start: Math.min(cells - held, Math.max(0, start)), length: held };
}

/**
 * Zoom so that what lies at `part` of the span (0: its start, 1: its end) stays where it is.
 *
 * @param factor above 1 brings nearer.
 */
export function zoomSpan(span: Span, cells: number, factor: number, part: number): Span {
  const { length } = clampSpan({ start: 0, length: span.length / factor }, cells);
  return clampSpan({ start: span.start + part * (span.length - length), length }, cells);
}

export const panSpan = (span: Span, cells: number, by: number): Span =>
  clampSpan({ start: span.start + by, length: span.length }, cells);

/** Move a span as little as it takes to have the cell in it. */
export function revealCell(span: Span, cells: number, cell: number): Span {
  if (cell >= span.start && cell + 1 <= span.start + span.length) return span;
  const start = cell < span.start ? cell : cell + 1 - span.length;
  return clampSpan({ start, length: span.length }, cells);
}

/**
 * The level of detail to draw: at level n a texel stands for 2^n cells. The finest one whose texels are not much
 * smaller than a pixel, so that as many are read as can be seen.
 */
export function levelFor(cellsPerPixel: number, levels: number): number {
  return Math.min(levels - 1, Math.max(0, Math.floor(Math.log2(Math.max(1, cellsPerPixel)))));
}

/** Steps of 1, 2 or 5 times a power of ten, as few as leaves `room` pixels between them. */
export function tickStep(cellPixels: number, room: number): number {
  const least = room / cellPixels;
  if (least <= 1) return 1;
  const power = 10 ** Math.floor(Math.log10(least));
  return power * ([1, 2, 5, 10].find((step) => step * power >= least) ?? 10);
}
