import type { LayerChunk } from "../../rows/layer-chunk.ts";
import type { Units } from "../../statistics/randomization/units.ts";
import type { RoutingShape } from "../measure.ts";

/**
 * How often each sample used each expert of a layer: what a test or an interval rests on that takes a text as one
 * observation, because its tokens resemble each other. Grows with samples x experts used.
 */
export interface SampleCounts {
  readonly samples: number[];
  /** Rows of each of {@link samples}. */
  readonly rows: number[];
  /** Where the entries of each of {@link samples} begin; one more than there are samples. */
  readonly offsets: number[];
  /** Experts the sample used, ascending ... */
  readonly experts: number[];
  /** ... and in how many of its rows. */
  readonly counts: number[];
  /** Of the sample that is being counted: rows by expert. */
  readonly current: Uint32Array;
  open: { sample: number; rows: number } | null;
}

export const startSampleCounts = ({ experts }: RoutingShape): SampleCounts => ({
  samples: [],
  rows: [],
  offsets: [0],
  experts: [],
  counts: [],
  current: new Uint32Array(experts),
  open: null,
});

/** Rows of a sample come together. */
export function addSampleRows(state: SampleCounts, { sample, rows, ids, topK }: LayerChunk): void {
  for (let row = 0; row < rows; row++) {
    let { open } = state;
    if (sample[row] !== open?.sample) {
      closeSample(state);
      open = { sample: sample[row]!, rows: 0 };
      state.open = open;
    }
    open!.rows++;
    for (let i = row * topK; i < (row + 1) * topK; i++) state.current[ids[i]!]!++;
  }
}

function closeSample(state: SampleCounts): void {
  const { open, current } = state;
  if (!open) return;
  state.samples.push(open.sample);
  state.rows.push(open.rows);
  current.forEach((count, expert) => {
    if (count === 0) return;
    state.experts.push(expert);
    state.counts.push(count);
  });
  state.offsets.push(state.experts.length);
  current.fill(0);
  state.open = null;
}

/**
 * The samples as units of a permutation test. Ends the counting.
 *
 * @param labelOfSample -1 leaves a sample out.
 */
export function sampleUnits(state: SampleCounts, labelOfSample: Int32Array): Units {
  closeSample(state);
  const kept = state.samples.flatMap((sample, i) => (labelOfSample[sample]! < 0 ? [] : [i]));
  const size = (i: number) => state.offsets[i + 1]! - state.offsets[i]!;
  const entries = kept.reduce((sum, i) => sum + size(i), 0);
  const units = {
    label: Int32Array.from(kept, (i) => labelOfSample[state.samples[i]!]!),
    rows: Uint32Array.from(kept, (i) => state.rows[i]!),
    offsets: new Uint32Array(kept.length + 1),
    experts: new Uint16Array(entries),
    counts: new Uint32Array(entries),
  };
  let at = 0;
  kept.forEach((i, unit) => {
    for (let entry = state.offsets[i]!; entry < state.offsets[i + 1]!; entry++, at++) {
      units.experts[at] = state.experts[entry]!;
      units.counts[at] = state.counts[entry]!;
    }
    units.offsets[unit + 1] = at;
  });
  return units;
}
