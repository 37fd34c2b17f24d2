import type { LayerChunk } from "../../rows/layer-chunk.ts";
import type { Units } from "../../statistics/randomization/units.ts";

/** The chosen experts of every row of a labelled sample, in pieces of a chunk each. */
export interface RowUnits {
  readonly label: Int32Array[];
  /** `[rows, topK]` of each piece. */
  readonly experts: Uint16Array[];
  topK: number;
}

/** Takes every row as an observation of its own. */
export const rowUnits = (labelOfSample: Int32Array) => ({
  start: (): RowUnits => ({ label: [], experts: [], topK: 0 }),
  take(state: RowUnits, { sample, rows, ids, topK }: LayerChunk) {
    const label = new Int32Array(rows);
    const experts = new Uint16Array(ids.length);
    let kept = 0;
    for (let row = 0; row < rows; row++) {
      if (labelOfSample[sample[row]!]! < 0) continue;
      label[kept] = labelOfSample[sample[row]!]!;
      experts.set(ids.subarray(row * topK, (row + 1) * topK), kept * topK);
      kept++;
    }
    state.topK = topK;
    state.label.push(label.subarray(0, kept));
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
