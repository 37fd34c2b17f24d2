import type { LayerChunk } from "../../rows/layer-chunk.ts";
import { type MatchedPositions, NOT_MATCHED } from "../../rows/row-groups.ts";
import type { MatchedUnits } from "../../statistics/randomization/matched-units.ts";
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
  /** ... and in how many of its rows ... */
  readonly counts: number[];
  /** ... of which so many are at positions that are compared. */
  readonly matched: number[];
  /** `[samples, position groups]`: rows that are compared. */
  readonly positions: number[];
  /** `[position groups, experts]`: compared rows that used the expert, of all samples. */
  readonly usage: Float64Array;
  /** Of the sample that is being counted: rows by expert, compared rows by expert, and by position group. */
  readonly current: Uint32Array;
  readonly currentMatched: Uint32Array;
  readonly currentPositions: Uint32Array;
  open: { sample: number; rows: number } | null;
}

export const startSampleCounts = ({ experts }: RoutingShape, { groups }: MatchedPositions): SampleCounts => ({
  samples: [],
  rows: [],
  offsets: [0],
  experts: [],
  counts: [],
  matched: [],
  positions: [],
  usage: new Float64Array(groups * experts),
  current: new Uint32Array(experts),
  currentMatched: new Uint32Array(experts),
  currentPositions: new Uint32Array(groups),
  open: null,
});

/** Rows of a sample come together. */
export function addSampleRows(
  state: SampleCounts,
  { from, sample, rows, ids, topK }: LayerChunk,
  { ofRow }: MatchedPositions,
): void {
  const experts = state.current.length;
  for (let row = 0; row < rows; row++) {
    let { open } = state;
    if (sample[row] !== open?.sample) {
      closeSample(state);
      open = { sample: sample[row]!, rows: 0 };
      state.open = open;
    }
    open!.rows++;
    for (let i = row * topK; i < (row + 1) * topK; i++) state.current[ids[i]!]!++;
    const group = ofRow[from + row]!;
    if (group === NOT_MATCHED) continue;
    state.currentPositions[group]!++;
    for (let i = row * topK; i < (row + 1) * topK; i++) {
      state.currentMatched[ids[i]!]!++;
      state.usage[group * experts + ids[i]!]!++;
    }
  }
}

/** The two for `talliedLayers`. */
export const sampleTally = (positions: MatchedPositions) => ({
  start: (of: RoutingShape) => startSampleCounts(of, positions),
  take: (state: SampleCounts, chunk: LayerChunk) => addSampleRows(state, chunk, positions),
});

function closeSample(state: SampleCounts): void {
  const { open, current } = state;
  if (!open) return;
  state.samples.push(open.sample);
  state.rows.push(open.rows);
  current.forEach((count, expert) => {
    if (count === 0) return;
    state.experts.push(expert);
    state.counts.push(count);
    state.matched.push(state.currentMatched[expert]!);
  });
  state.offsets.push(state.experts.length);
  for (const rows of state.currentPositions) state.positions.push(rows);
  current.fill(0);
  state.currentMatched.fill(0);
  state.currentPositions.fill(0);
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

/**
 * The samples by their use beyond what is usual at their positions. Ends the counting. Samples without a compared row
 * are left out.
 *
 * A residual is rows that used the expert, less for each of the sample's compared rows the part of all compared rows
 * at these positions that did: indirect standardisation (Breslow and Day, Statistical Methods in Cancer Research II,
 * 1987, chapter 2).
 *
 * @param labelOfSample -1 leaves a sample out.
 */
export function matchedSamples(state: SampleCounts, labelOfSample: Int32Array): MatchedUnits {
  closeSample(state);
  const { usage, offsets, matched } = state;
  const experts = state.current.length;
  const groups = state.currentPositions.length;
  const rowsAt = (i: number) => state.positions.slice(i * groups, (i + 1) * groups);
  const kept = state.samples.flatMap((sample, i) =>
    labelOfSample[sample]! >= 0 && rowsAt(i).some((n) => n > 0) ? [i] : [],
  );
  const atGroup = new Float64Array(groups);
  for (const i of kept)
    for (let group = 0; group < groups; group++) atGroup[group]! += state.positions[i * groups + group]!;
  const expected = usage.map((count, i) => count / (atGroup[Math.floor(i / experts)]! || 1));
  const rows = Float64Array.from(kept, (i) => rowsAt(i).reduce((sum, n) => sum + n, 0));
  const total = rows.reduce((sum, n) => sum + n, 0);
  const shares = new Float64Array(experts);
  for (let i = 0; i < usage.length; i++) shares[i % experts]! += usage[i]! / total;
  return {
    label: Int32Array.from(kept, (i) => labelOfSample[state.samples[i]!]!),
    rows,
    shares,
    residuals(unit, from, to, out) {
      const i = kept[unit]!;
      out.fill(0);
      for (let group = 0; group < groups; group++) {
        const n = state.positions[i * groups + group]!;
        if (n > 0)
          for (let e = from, at = group * experts + from; e < to; e++, at++)
            out[e - from]! -= n * expected[at]!;
      }
      for (let entry = offsets[i]!; entry < offsets[i + 1]!; entry++) {
        const expert = state.experts[entry]!;
        if (expert >= from && expert < to) out[expert - from]! += matched[entry]!;
      }
    },
  };
}
