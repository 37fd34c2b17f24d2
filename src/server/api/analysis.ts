import { z } from "zod";

const count = z.int().nonnegative();

/** What the tiles of the token x layer map are. */
export const mapFacts = z
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

/** The analysis is not done yet: ask again. */
export const analysisPending = z
  .object({ done: count, total: count })
  .meta({ id: "AnalysisPending", description: "layers that are analysed, of so many" });
