import type { LayerChunk } from "../../rows/layer-chunk.ts";
import { type MatchedPositions, NOT_MATCHED } from "../../rows/row-groups.ts";
import type { MatchedUnits } from "../../statistics/randomization/matched-units.ts";
import type { Units } from "../../statistics/randomization/units.ts";

/** The chosen experts of every row of a labelled sample, in pieces of a chunk each. */
export interface RowUnits {
  readonly label: Int32Array[];
  /** Position group of each row, as {@link MatchedPositions} has it. */
  readonly position: Uint8Array[];
  /** `[rows, topK]` of each piece. */
  readonly experts: Uint16Array[];
  topK: number;
}

/** Takes every row as an observation of its own. */
export const rowUnits = (labelOfSample: Int32Array, { ofRow }: MatchedPositions) => ({
  start: (): RowUnits => ({ label: [], position: [], experts: [], topK: 0 }),
  take(state: RowUnits, { from, sample, rows, ids, topK }: LayerChunk) {
    const label = new Int32Array(rows);
    const position = new Uint8Array(rows);
    const experts = new Uint16Array(ids.length);
    let kept = 0;
    for (let row = 0; row < rows; row++) {
      if (labelOfSample[sample[row]!]! < 0) continue;
      label[kept] = labelOfSample[sample[row]!]!;
      position[kept] = ofRow[from + row]!;
      experts.set(ids.subarray(row * topK, (row + 1) * topK), kept * topK);
      kept++;
    }
    state.topK = topK;
    state.label.push(label.subarray(0, kept));
    state.position.push(position.subarray(0, kept));
    state.experts.push(experts.subarray(0, kept * topK));
  },
});

export function unitsOfRows({ label: labels, experts: pieces, topK }: RowUnits): Units {
  const length = labels.reduce((sum, piece) => sum + piece.length, 0);
  const label = new Int32Array(length);
  const experts = new Uint16Array(length * topK);
  let at = 0;
  labels.forEach((piece, i) => {
    label.set(piece, at);
    experts.set(pieces[i]!, at * topK);
    at += piece.length;
  });
  return {
    label,
    rows: new Uint32Array(length).fill(1),
    offsets: Uint32Array.from({ length: length + 1 }, (_, i) => i * topK),
    experts,
    counts: new Uint32Array(experts.length).fill(1),
  };
}

/** The rows that are compared, by their use beyond what is usual at their positions; see `matchedSamples`. */
export function matchedRows(state: RowUnits, experts: number, { groups }: MatchedPositions): MatchedUnits {
  const units = unitsOfRows(state);
  const { topK } = state;
  const position = state.position.flatMap((piece) => [...piece]);
  const kept = Uint32Array.from(position.keys()).filter((row) => position[row] !== NOT_MATCHED);
  const atGroup = new Float64Array(groups);
  const expected = new Float64Array(groups * experts);
  const shares = new Float64Array(experts);
  for (const row of kept) {
    atGroup[position[row]!]!++;
    for (let i = row * topK; i < (row + 1) * topK; i++) {
      expected[position[row]! * experts + units.experts[i]!]!++;
      shares[units.experts[i]!]! += 1 / kept.length;
    }
  }
  for (let i = 0; i < expected.length; i++) expected[i]! /= atGroup[Math.floor(i / experts)]! || 1;
  return {
    label: Int32Array.from(kept, (row) => units.label[row]!),
    rows: new Float64Array(kept.length).fill(1),
    shares,
    residuals(unit, from, to, out) {
      const row = kept[unit]!;
      const base = position[row]! * experts;
      for (let e = from; e < to; e++) out[e - from] = -expected[base + e]!;
      for (let i = row * topK; i < (row + 1) * topK; i++) {
        const expert = units.experts[i]!;
        if (expert >= from && expert < to) out[expert - from]!++;
      }
    },
  };
}
