import type { LayerChunk } from "../../rows/layer-chunk.ts";
import { positionLevel } from "../../rows/row-groups.ts";
import type { TokenTypes } from "../../rows/token-types.ts";
import { leastExpectation, logTailBound } from "../../statistics/mean-bound.ts";

/**
 * How often each expert served the rows of each token type, a text as one observation, while the rows pass. A text's
 * observation is the part of its rows of the type that used the expert, a number between 0 and 1. Were tokens and
 * experts independent, any of the text's rows in the same group of positions could be of this type, so on average it is
 * the part of those rows that used the expert, whatever the text is about and however its rows depend on each other.
 */
export interface TypeUsage {
  /** `[types, experts]`: rows of the type that used the expert. */
  readonly counts: Uint32Array;
  /** `[types, experts]`: sums over texts of what was observed and of what is expected. */
  readonly observed: Float64Array;
  readonly expected: Float64Array;
  readonly stratum: Stratum;
}

/** Rows of one text and one group of positions, which come one after the other. */
interface Stratum {
  sample: number;
  level: number;
  rows: number;
  readonly used: Uint32Array;
  /** By type the sum of its rows' weights, and the types that have some. */
  readonly weights: Float64Array;
  readonly types: Int32Array;
  typeCount: number;
}

export const startTypeUsage = ({ ids }: TokenTypes, experts: number): TypeUsage => ({
  counts: new Uint32Array(ids.length * experts),
  observed: new Float64Array(ids.length * experts),
  expected: new Float64Array(ids.length * experts),
  stratum: {
    sample: -1,
    level: -1,
    rows: 0,
    used: new Uint32Array(experts),
    weights: new Float64Array(ids.length),
    types: new Int32Array(ids.length),
    typeCount: 0,
  },
});

export function addTypeUsage(
  state: TypeUsage,
  { from, rows, sample, position, ids, topK }: LayerChunk,
  { ofRow, weight }: TokenTypes,
): void {
  const { counts, observed, stratum } = state;
  const experts = stratum.used.length;
  for (let row = 0; row < rows; row++) {
    const level = positionLevel(position[row]!);
    if (sample[row] !== stratum.sample || level !== stratum.level) {
      closeStratum(state);
      stratum.sample = sample[row]!;
      stratum.level = level;
    }
    stratum.rows++;
    const type = ofRow[from + row]!;
    const part = weight[from + row]!;
    if (type >= 0) {
      if (stratum.weights[type] === 0) stratum.types[stratum.typeCount++] = type;
      stratum.weights[type]! += part;
    }
    for (let i = row * topK; i < (row + 1) * topK; i++) {
      stratum.used[ids[i]!]!++;
      if (type < 0) continue;
      counts[type * experts + ids[i]!]!++;
      observed[type * experts + ids[i]!]! += part;
    }
  }
}

/** Ends a stratum, and the counting. */
export function closeStratum({ expected, stratum }: TypeUsage): void {
  const { rows, used, weights, types, typeCount } = stratum;
  const experts = used.length;
  if (typeCount > 0) {
    const having: number[] = [];
    for (let e = 0; e < experts; e++) if (used[e]! > 0) having.push(e);
    for (let i = 0; i < typeCount; i++) {
      const at = types[i]! * experts;
      const each = weights[types[i]!]! / rows;
      for (const e of having) expected[at + e]! += each * used[e]!;
      weights[types[i]!] = 0;
    }
  }
  used.fill(0);
  stratum.rows = 0;
  stratum.typeCount = 0;
}

/** A type that an expert serves more often than chance explains, at p <= `level` of this test alone. */
export interface TypePreference {
  readonly type: number;
  readonly pValue: number;
  /** Observed over expected. */
  readonly lift: number;
  /** The same at the lower end of the 95 % interval that inverts the test. */
  readonly liftLow: number;
}

/** Of both ends of a 95 % interval. */
const TAIL = 0.025;

export function preferencesOf(
  { observed, expected, stratum }: TypeUsage,
  { texts }: TokenTypes,
  expert: number,
  level: number,
): TypePreference[] {
  const experts = stratum.used.length;
  const found: TypePreference[] = [];
  for (let type = 0; type < texts.length; type++) {
    const [o, e, n] = [observed[type * experts + expert]!, expected[type * experts + expert]!, texts[type]!];
    if (o <= e) continue;
    const pValue = Math.exp(logTailBound(o / n, e / n, n));
    if (pValue > level) continue;
    // Above 1 where p is below the interval's tail: the same bound gives both.
    found.push({ type, pValue, lift: o / e, liftLow: (n * leastExpectation(o / n, n, TAIL)) / e });
  }
  return found;
}
