import type { Capture } from "../../capture/capture.ts";

/** The compared rows as columns, ordered by sample and position. */
export interface ComparedRows {
  readonly length: number;
  readonly sample: Int32Array;
  readonly position: Int32Array;
  readonly tokenId: Int32Array;
  /** Mean overlap |A ∩ B| / topK over the layers where the row's values are finite; NaN where there is none. */
  readonly overlap: Float64Array;
  /** Mean Jensen-Shannon divergence over the same layers, nats; `null` unless both captures have logits in all of them. */
  readonly js: Float64Array | null;
  /** First layer with another set of experts; -1 where all layers agree. */
  readonly firstLayer: Int32Array;
}

/** Stands for "no layer" in {@link ComparedRows.firstLayer}. */
export const NONE = -1;

/** One row, by its labels. */
export interface TokenPlace {
  readonly sample: number;
  readonly position: number;
  readonly tokenId: number;
  readonly text: string;
}

/** The labels of a compared row, with the text that the capture has for its token. */
function placeOf(capture: Capture, rows: ComparedRows, row: number): TokenPlace {
  const [sample, position, tokenId] = [rows.sample[row]!, rows.position[row]!, rows.tokenId[row]!];
  const of = capture.sample(sample).rows;
  return { sample, position, tokenId, text: of.text[of.position.indexOf(position)]! };
}

/** Where the routing of a sample differs first: earlier positions agree in all layers, this one in all before. */
export interface FirstDisagreement extends TokenPlace {
  readonly layer: number;
}

/**
 * The first place of each sample with another set of experts: by position, then layer. What comes behind may differ
 * because of it: through attention every later token reads this one.
 */
export function firstDisagreements(capture: Capture, rows: ComparedRows): FirstDisagreement[] {
  const found: FirstDisagreement[] = [];
  for (let row = 0; row < rows.length; row++)
    if (rows.firstLayer[row] !== NONE && rows.sample[row] !== found.at(-1)?.sample)
      found.push({ ...placeOf(capture, rows, row), layer: rows.firstLayer[row]! });
  return found;
}

/** A row whose routing differs. */
export interface MovedToken extends TokenPlace {
  /** Mean Jensen-Shannon divergence over the layers, nats; `null` without logits. */
  readonly js: number | null;
  /** Mean overlap |A ∩ B| / topK over the layers. */
  readonly overlap: number;
  /** First layer with another set of experts; -1 where only the logits moved. */
  readonly firstLayer: number;
}

/** The `count` rows whose routing differs most: by mean divergence, or by overlap where there are no logits. */
export function mostMoved(capture: Capture, rows: ComparedRows, count: number): MovedToken[] {
  const { js, overlap, firstLayer } = rows;
  const amount = js ?? overlap.map((value) => 1 - value);
  const order = Uint32Array.from(amount, (_, row) => row).filter((row) => amount[row]! > 0);
  return [...order.sort((a, b) => amount[b]! - amount[a]! || a - b).subarray(0, count)].map((row) => ({
    ...placeOf(capture, rows, row),
    js: js && js[row]!,
    overlap: overlap[row]!,
    firstLayer: firstLayer[row]!,
  }));
}
