import { z } from "zod";
import { PHASES } from "../../core/rows.ts";
import type { OpenedCapture } from "../captures/open-captures.ts";
import { rowsWhere } from "../captures/row-filter.ts";
import { json } from "../host/declaration.ts";
import { captureId, phase, rowFilter, whole } from "../host/schemas.ts";
import { question } from "./question.ts";

/** Rows in a page: a few hundred kilobytes of JSON. */
const MAX_PAGE = 10_000;
const count = z.int().nonnegative();

const rowColumns = z
  .object({
    total: count.meta({ description: "rows that meet the conditions" }),
    next: count.nullable().meta({ description: "`from` of the next page" }),
    row: z.array(count).meta({ description: "index in the capture" }),
    sample: z.array(count),
    position: z.array(count),
    tokenId: z.array(z.int()),
    phase: z.array(phase),
    text: z.array(z.string()),
  })
  .meta({ id: "Rows" });
export type RowColumns = z.infer<typeof rowColumns>;

const conditions = rowFilter.extend({
  from: whole.default(0),
  limit: whole.max(MAX_PAGE).default(1000),
  search: z
    .string()
    .min(1)
    .max(200)
    .optional()
    .meta({ description: "the token's text holds this, letters of either case" }),
});
type RowsQuery = z.output<typeof conditions>;

export const rows = question({
  path: "/api/captures/{id}/rows",
  tag: "captures",
  summary: "Rows that meet the conditions, as columns, a page at a time",
  asked: conditions.extend({ id: captureId }),
  answer: json("a page", () => rowColumns),
  find: ({ id, ...query }) => rowPage(id, query),
});

/** A page of the rows that meet the conditions, as columns. */
function rowPage({ capture, vocabulary }: OpenedCapture, query: RowsQuery): RowColumns {
  const matching = refine({ capture, vocabulary }, query);
  const total = matching ? matching.length : capture.rows.length;
  const from = Math.min(query.from, total);
  const to = Math.min(total, from + query.limit);
  const row = Array.from({ length: to - from }, (_, i) => (matching ? matching[from + i]! : from + i));
  const { sample, position, tokenId } = capture.rows;
  return {
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
