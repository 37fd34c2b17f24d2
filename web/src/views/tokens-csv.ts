import type { MapFacts as Facts } from "../../../src/server/questions/map.ts";
import type { TiledCells } from "../canvas/tiled-cells.ts";
import type { Span } from "../canvas/viewport.ts";
import { csv } from "../parts/csv.ts";
import type { MeasureName } from "./token-measures.ts";

/** Lines of a table that a spreadsheet still opens at once. */
const MAX_LINES = 50_000;

/** The tokens in view, each with its exact values; of more than fit a table, the means of 2, 4, 8 ... tokens. */
export async function visibleCsv(
  { layers }: Facts,
  cells: TiledCells,
  span: Span,
  measure: MeasureName,
): Promise<string> {
  const from = Math.floor(span.start);
  const to = Math.min(cells.columns, Math.ceil(span.start + span.length));
  let level = 0;
  while (level < cells.levels - 1 && (to - from) >> level > MAX_LINES) level++;
  const texel = 2 ** level;
  const first = (from >> level) * texel;
  const lines = await cells.read(level, from, to);
  return csv(
    ["row", "rows", ...layers.map((layer) => `${measure}_layer_${layer}`)],
    lines.map((values, i) => {
      const row = first + i * texel;
      return [row, Math.min(texel, cells.columns - row), ...values];
    }),
  );
}
