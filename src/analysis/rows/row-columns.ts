import type { Capture } from "../../capture/capture.ts";
import { PHASES, type RowLabels } from "../../core/rows.ts";

/** The labels of all rows, a column each. */
export interface RowColumns extends RowLabels {
  readonly length: number;
}

/** The columns of a capture's rows; those it has are shared, not copied. */
export function columnsOf({ rows }: Capture): RowColumns {
  return {
    length: rows.length,
    sample: rows.sample,
    position: rows.position,
    tokenId: rows.tokenId,
    phase: Uint8Array.from(rows.phase, (name) => PHASES.indexOf(name)),
  };
}

/** The labels of rows `[from, to)`. */
export const columnsWithin = (
  { sample, position, tokenId, phase }: RowLabels,
  from: number,
  to: number,
): RowLabels => ({
  sample: sample.subarray(from, to),
  position: position.subarray(from, to),
  tokenId: tokenId.subarray(from, to),
  phase: phase.subarray(from, to),
});
