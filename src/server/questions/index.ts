import { analysis } from "./analysis.ts";
import { atlas } from "./atlas.ts";
import { balance } from "./balance.ts";
import { capture } from "./capture.ts";
import { captures } from "./captures.ts";
import { coactivation } from "./coactivation.ts";
import { column } from "./column.ts";
import { comparison } from "./comparison.ts";
import { expertTile } from "./expert-tile.ts";
import { layerAnalysis } from "./layer-analysis.ts";
import { map } from "./map.ts";
import { mapTile } from "./map-tile.ts";
import { rows } from "./rows.ts";
import { similarity } from "./similarity.ts";
import { stream } from "./stream.ts";
import { token } from "./token.ts";
import { usage } from "./usage.ts";
import { vocabulary } from "./vocabulary.ts";
import { words } from "./words.ts";

/** Every question about captures, in the order of the API's description. */
export const questions = [
  captures,
  capture,
  rows,
  token,
  column,
  vocabulary,
  stream,
  words,
  usage,
  balance,
  map,
  mapTile,
  expertTile,
  coactivation,
  similarity,
  analysis,
  layerAnalysis,
  atlas,
  comparison,
] as const;
