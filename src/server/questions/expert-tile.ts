import { z } from "zod";
import { chosenRows } from "../../analysis/rows/chosen.ts";
import { RequestError } from "../../core/errors.ts";
import { type Values, valuesOf } from "../captures/answer.ts";
import type { OpenedCapture } from "../captures/open-captures.ts";
import { requireRouting } from "../captures/row-filter.ts";
import { levelsOf, TILE_CELLS } from "../captures/row-map.ts";
import { values } from "../host/declaration.ts";
import { captureId, layer, whole } from "../host/schemas.ts";
import { question } from "./question.ts";

export const expertTile = question({
  path: "/api/captures/{id}/experts/{layer}/{level}/{tile}",
  tag: "analysis",
  summary: "A tile of a layer's token x expert map, [experts, cells]: mean weights, 0 where not used",
  asked: z.object({ id: captureId, layer, level: whole.max(40), tile: whole }),
  answer: values("the tile"),
  find: ({ id, layer, level, tile }) => tileOf(id, layer, level, tile),
});

/**
 * A tile of the token x expert map of a layer, `[experts, cells]`: the weight each expert had, averaged over the
 * cell's rows; 0 where it served none. Without captured weights each of a row's k experts counts 1 / k.
 *
 * @throws RequestError `UNKNOWN_LAYER`, or `INVALID_ARGUMENT` for a tile that is not there.
 */
function tileOf({ capture }: OpenedCapture, layer: number, level: number, index: number): Values {
  requireRouting(capture, layer, null);
  const rows = capture.rows.length;
  const step = 2 ** level;
  const first = index * TILE_CELLS * step;
  if (level >= levelsOf(capture) || first >= Math.max(1, rows))
    throw new RequestError("INVALID_ARGUMENT", `there is no tile ${index} of level ${level}`);
  const { experts } = capture.model.moe!;
  const last = Math.min(rows, first + TILE_CELLS * step);
  const cells = Math.ceil((last - first) / step);
  const out = new Float32Array(experts * cells);
  for (let from = first; from < last; from += TILE_CELLS) {
    const to = Math.min(last, from + TILE_CELLS);
    const { ids, weights } = chosenRows(capture, layer, from, to);
    const topK = ids.length / (to - from);
    for (let i = 0; i < ids.length; i++) {
      const cell = Math.floor((from - first + Math.floor(i / topK)) / step);
      // The last cell may stand for fewer rows.
      const inCell = Math.min(step, last - first - cell * step);
      out[ids[i]! * cells + cell]! += (weights ? weights[i]! : 1 / topK) / inCell;
    }
  }
  return valuesOf(out, [experts, cells]);
}
