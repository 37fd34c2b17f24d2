import { z } from "zod";
import { MAX_CELL_ROWS, MEASURES, RowMap } from "../captures/row-map.ts";
import { values } from "../host/declaration.ts";
import { captureId, whole } from "../host/schemas.ts";
import { question } from "./question.ts";

/** Keeps what neighbouring tiles share. */
const rowMap = new RowMap();

export const mapTile = question({
  path: "/api/captures/{id}/map/{measure}/{level}/{tile}",
  tag: "analysis",
  summary: "A tile of the token x layer map, [layers, cells]; NaN or 65535: not known",
  asked: z.object({
    id: captureId,
    measure: z.enum(MEASURES),
    level: whole.max(40),
    tile: whole,
    rows: whole
      .min(1)
      .max(MAX_CELL_ROWS)
      .default(MAX_CELL_ROWS)
      .meta({ description: "rows of a cell that are read at most: few give a quick draft" }),
  }),
  answer: values("the tile"),
  find: ({ id, ...tile }) => rowMap.tile(id, tile),
});
