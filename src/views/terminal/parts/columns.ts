import { largest } from "../../../core/extremes.ts";
import { displayWidth } from "./text.ts";

type Pad = (text: string, width: number) => string;

/** Rows of cells as lines with aligned columns; `pads` says how each column is filled up. */
export function alignColumns(rows: readonly (readonly string[])[], pads: readonly Pad[]): string[] {
  const widths = pads.map((_, i) => largest(rows.map((row) => displayWidth(row[i]!))));
  return rows.map((row) => row.map((cell, i) => pads[i]!(cell, widths[i]!)).join("   "));
}
