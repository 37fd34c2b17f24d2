import { z } from "zod";
import { routedLayers } from "../../analysis/rows/chosen.ts";
import { levelsOf, MAX_CELL_ROWS, TILE_CELLS } from "../captures/row-map.ts";
import { json } from "../host/declaration.ts";
import { captureId } from "../host/schemas.ts";
import { question } from "./question.ts";

const count = z.int().nonnegative();

/** What the tiles of the token x layer map are. */
const mapFacts = z
  .object({
    rows: count,
    layers: z.array(count).meta({ description: "the rows of a tile, top to bottom" }),
    tileCells: count.meta({ description: "cells of a tile; a cell of level n stands for 2^n rows" }),
    cellRows: count.meta({ description: "rows of a cell that are read at most, those in its middle" }),
    levels: count.meta({ description: "levels 0 to levels - 1; the last has one tile" }),
    experts: count,
    measures: z.array(
      z.object({
        name: z.enum(["entropy", "margin", "top_weight", "top_expert"]),
        dtype: z.enum(["float32", "uint16"]),
        unit: z.string(),
        reduction: z.string().meta({ description: "how the rows of a cell become one value" }),
      }),
    ),
  })
  .meta({ id: "MapFacts" });
export type MapFacts = z.infer<typeof mapFacts>;

export const map = question({
  path: "/api/captures/{id}/map",
  tag: "analysis",
  summary: "Facts of the token x layer map: its tiles and measures",
  asked: z.object({ id: captureId }),
  answer: json("the facts", () => mapFacts),
  find: ({ id: { capture } }): MapFacts => ({
    rows: capture.rows.length,
    layers: routedLayers(capture),
    tileCells: TILE_CELLS,
    cellRows: MAX_CELL_ROWS,
    levels: levelsOf(capture),
    experts: capture.model.moe?.experts ?? 0,
    measures: [
      { name: "entropy", dtype: "float32", unit: "nats", reduction: "mean" },
      { name: "margin", dtype: "float32", unit: "logits", reduction: "mean" },
      { name: "top_weight", dtype: "float32", unit: "weight", reduction: "mean" },
      { name: "top_expert", dtype: "uint16", unit: "expert", reduction: "most frequent" },
    ],
  }),
});
