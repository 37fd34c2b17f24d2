import { RequestError } from "../../core/errors.ts";
import { PHASES } from "../../core/rows.ts";
import { type StreamName, streamSpec } from "../../core/streams.ts";
import { type Answer, arrayAnswer, jsonAnswer } from "../answer.ts";
import type { RowColumns, Vocabulary } from "../api/captures.ts";
import type { RowFilter } from "../api/values.ts";
import type { OpenedCapture } from "../open-captures.ts";
import { rowsWhere } from "../row-filter.ts";

/** Rows in a page: a few hundred kilobytes of JSON. */
export interface RowsQuery extends RowFilter {
  readonly from: number;
  readonly limit: number;
  /** Rows whose token's text holds this, letters of either case. */
  readonly search?: string | undefined;
}

/** A page of the rows that meet the conditions, as columns. */
export function rowPage({ capture, vocabulary }: OpenedCapture, query: RowsQuery): Answer {
  const matching = refine({ capture, vocabulary }, query);
  const total = matching ? matching.length : capture.rows.length;
  const from = Math.min(query.from, total);
  const to = Math.min(total, from + query.limit);
  const row = Array.from({ length: to - from }, (_, i) => (matching ? matching[from + i]! : from + i));
  const { sample, position, tokenId } = capture.rows;
  const columns: RowColumns = {
    total,
    next: to < total ? to : null,
    row,
    sample: row.map((at) => sample[at]!),
    position: row.map((at) => position[at]!),
    tokenId: row.map((at) => tokenId[at]!),
    phase: row.map((at) =>
      position[at]! < capture.samples[sample[at]!]!.promptTokens ? PHASES[0] : PHASES[1],
    ),
    text: row.map((at) => vocabulary.get(tokenId[at]!)!),
  };
  return jsonAnswer(columns);
}

function refine(
  { capture, vocabulary }: Pick<OpenedCapture, "capture" | "vocabulary">,
  { search, ...filter }: RowsQuery,
): Uint32Array | null {
  let rows = rowsWhere(capture, filter);
  const all = () => rows ?? Uint32Array.from({ length: capture.rows.length }, (_, row) => row);
  if (search !== undefined) {
    const wanted = search.toLowerCase();
    const hit = new Set(
      [...vocabulary].filter(([, text]) => text.toLowerCase().includes(wanted)).map(([id]) => id),
    );
    rows = all().filter((row) => hit.has(capture.rows.tokenId[row]!));
  }
  return rows;
}

export const ROW_COLUMNS = ["sample", "position", "token_id", "phase"] as const;
export type RowColumn = (typeof ROW_COLUMNS)[number];

/** One column of all rows. */
export function rowColumn({ capture }: OpenedCapture, column: RowColumn): Answer {
  const { rows, samples } = capture;
  const shape = [rows.length];
  if (column === "sample") return arrayAnswer(rows.sample, shape);
  if (column === "position") return arrayAnswer(rows.position, shape);
  if (column === "token_id") return arrayAnswer(rows.tokenId, shape);
  const phase = Uint8Array.from(rows.position, (position, row) =>
    position < samples[rows.sample[row]!]!.promptTokens ? 0 : 1,
  );
  return arrayAnswer(phase, shape);
}

/** Every token that occurs, once. */
export function vocabularyAnswer({ vocabulary }: OpenedCapture): Answer {
  const answer: Vocabulary = { tokenId: [...vocabulary.keys()], text: [...vocabulary.values()] };
  return jsonAnswer(answer);
}

/** Rows `[from, to)` of a stream in a layer, `[to - from, ...]`. */
export function streamRows(
  { capture }: OpenedCapture,
  stream: StreamName,
  layer: number,
  from: number,
  to: number,
): Answer {
  const { data, dims } = capture.stream(stream).rows(layer, from, to);
  return arrayAnswer(data, dims);
}

/** Size of a stream in a layer, without reading it. */
export function streamShape({ capture }: OpenedCapture, stream: StreamName, layer: number) {
  const tensors = capture.stream(stream);
  if (!tensors.has(layer))
    throw new RequestError(
      "UNKNOWN_LAYER",
      `${stream} was captured in the layers ${[...tensors.keys()].join(", ")}`,
    );
  return { rows: capture.rows.length, width: tensors.width(layer), type: streamSpec(stream).type };
}
