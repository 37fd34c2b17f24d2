import type { LayerChunk } from "../../rows/layer-chunk.ts";
import { CLUSTER_UNITS } from "../../statistics/cluster-interval.ts";
import type { ScanScope, Tally } from "../measure.ts";

/** The labelled samples by group; all of them in one, without a name, where none has a label. */
export interface ScoredGroups {
  readonly names: readonly (string | null)[];
  /** Unit of each sample, `NONE`: it takes no part. Units of a group follow each other. */
  readonly unitOf: Int32Array;
  /** Group of each unit. */
  readonly groupOf: Int32Array;
}

/** What each unit, a text or a few, did with a layer's experts. */
export interface TextMeans {
  readonly groups: ScoredGroups;
  readonly experts: number;
  readonly rows: Float64Array;
  readonly texts: Float64Array;
  /** `[units, experts]`: rows that used the expert. */
  readonly counts: Float64Array;
  /** `[units, experts]`: sum over texts of the mean over a text's rows of (used / topK). */
  readonly ratios: Float64Array;
  /** ... and of the mixing weight. */
  readonly gates: Float64Array;
  weighted: boolean;
  topK: number;
  readonly current: Current;
}

interface Current {
  readonly counts: Float64Array;
  readonly weights: Float64Array;
  rows: number;
  sample: number;
}

const NONE = -1;

/** Counts and means by text, for scores whose intervals take a text as one observation. */
export const textMeans: Tally<TextMeans, ScoredGroups> = {
  needs: ["chosen"],
  prepare: (columns, scope) => scoredGroups(scope, new Set(columns.sample)),
  start: ({ ahead, experts }) =>
    ahead.groupOf.length === 0
      ? null
      : {
          groups: ahead,
          experts,
          rows: new Float64Array(ahead.groupOf.length),
          texts: new Float64Array(ahead.groupOf.length),
          counts: new Float64Array(ahead.groupOf.length * experts),
          ratios: new Float64Array(ahead.groupOf.length * experts),
          gates: new Float64Array(ahead.groupOf.length * experts),
          weighted: true,
          topK: 0,
          current: {
            counts: new Float64Array(experts),
            weights: new Float64Array(experts),
            rows: 0,
            sample: NONE,
          },
        },
  take: addTextRows,
  find(state) {
    closeText(state);
    return state;
  },
};

function scoredGroups({ samples }: Pick<ScanScope, "samples">, withRows: ReadonlySet<number>): ScoredGroups {
  const having = samples.map((_, sample) => sample).filter((sample) => withRows.has(sample));
  const labels = [...new Set(having.map((sample) => samples[sample]!.label))].filter(
    (label) => label !== null,
  );
  const names = labels.length > 0 ? labels : [null];
  const unitOf = new Int32Array(samples.length).fill(NONE);
  const groupOf: number[] = [];
  names.forEach((name, group) => {
    const members = having.filter((sample) => samples[sample]!.label === name);
    const first = groupOf.length;
    const units = Math.min(CLUSTER_UNITS, members.length);
    members.forEach((sample, i) => {
      unitOf[sample] = first + (i % units);
    });
    for (let i = 0; i < units; i++) groupOf.push(group);
  });
  return { names, unitOf, groupOf: Int32Array.from(groupOf) };
}

function addTextRows(state: TextMeans, { sample, rows, ids, weights, topK }: LayerChunk): void {
  const { current } = state;
  state.topK = topK;
  state.weighted &&= weights !== null;
  for (let row = 0; row < rows; row++) {
    if (sample[row] !== current.sample) {
      closeText(state);
      current.sample = sample[row]!;
    }
    current.rows++;
    for (let i = row * topK; i < (row + 1) * topK; i++) {
      current.counts[ids[i]!]!++;
      if (weights) current.weights[ids[i]!]! += weights[i]!;
    }
  }
}

function closeText(state: TextMeans): void {
  const { current, groups, experts, counts, ratios, gates, topK } = state;
  const unit = current.rows > 0 ? groups.unitOf[current.sample]! : NONE;
  if (unit !== NONE) {
    state.rows[unit]! += current.rows;
    state.texts[unit]!++;
    for (let e = 0, at = unit * experts; e < experts; e++, at++) {
      counts[at]! += current.counts[e]!;
      ratios[at]! += current.counts[e]! / (current.rows * topK);
      gates[at]! += current.weights[e]! / current.rows;
    }
  }
  current.counts.fill(0);
  current.weights.fill(0);
  current.rows = 0;
  current.sample = NONE;
}
