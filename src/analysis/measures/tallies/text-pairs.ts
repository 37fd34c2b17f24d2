import type { LayerChunk } from "../../rows/layer-chunk.ts";
import { cachedQuantile, studentTwoSided } from "../../statistics/student.ts";
import type { LayerScope, Tally } from "../measure.ts";
import { type Coactivation, coactivationOf } from "./pair-counts.ts";

/**
 * Rows that used two experts of a layer, by pair and text. Of the texts only the sums of squares and products stay,
 * so that this does not grow with the capture. Matrices are `[experts, experts]`.
 */
interface State {
  rows: number;
  texts: number;
  /** Symmetric; the diagonal holds the rows that used the expert at all. */
  readonly counts: Float64Array;
  /** Of a text c(a, b) rows that used both, u(a) that used a, and n of all, sums over texts of: c c (above the diagonal), */
  readonly cc: Float64Array;
  /** c n (above the diagonal), */
  readonly cn: Float64Array;
  /** c(a, b) u(a), */
  readonly cu: Float64Array;
  /** u(a) u(b) (on and above the diagonal), */
  readonly uu: Float64Array;
  /** u n, by expert, */
  readonly un: Float64Array;
  /** and n n. */
  nn: number;
  /** Of the text that is being counted, on and above the diagonal. */
  readonly current: Uint32Array;
  currentRows: number;
  open: number;
}

/** How often pairs served the same row, with a text as one observation. */
export interface TextPairs extends Coactivation {
  readonly texts: number;
  /** Texts of equal length that would be as many observations, (Σ n)² / Σ n² of n rows (Kish 1965). */
  readonly evenTexts: number;
  /** Standard error of the lift of a pair a < b, from how it varies between texts; NaN from fewer than two. */
  standardError(a: number, b: number): number;
}

const NONE = -1;

export const textPairs: Tally<State, undefined, TextPairs> = {
  needs: ["chosen"],
  start: ({ experts }) => {
    const matrix = () => new Float64Array(experts * experts);
    return {
      rows: 0,
      texts: 0,
      counts: matrix(),
      cc: matrix(),
      cn: matrix(),
      cu: matrix(),
      uu: matrix(),
      un: new Float64Array(experts),
      nn: 0,
      current: new Uint32Array(experts * experts),
      currentRows: 0,
      open: NONE,
    };
  },
  take(state, { sample, rows, ids, topK }: LayerChunk, { experts }) {
    const { current } = state;
    for (let row = 0; row < rows; row++) {
      if (sample[row] !== state.open) {
        closeText(state, experts);
        state.open = sample[row]!;
      }
      state.currentRows++;
      const end = (row + 1) * topK;
      for (let i = row * topK; i < end; i++) {
        const a = ids[i]!;
        current[a * experts + a]!++;
        for (let j = i + 1; j < end; j++) {
          const b = ids[j]!;
          current[a < b ? a * experts + b : b * experts + a]!++;
        }
      }
    }
  },
  find(state, { experts }: LayerScope<undefined>) {
    closeText(state, experts);
    const found = coactivationOf(state, experts);
    const evenTexts = state.nn === 0 ? 0 : state.rows ** 2 / state.nn;
    return { ...found, texts: state.texts, evenTexts, standardError: standardErrors(state, found) };
  },
};

function closeText(state: State, experts: number): void {
  if (state.currentRows === 0) return;
  const { current, counts, cc, cn, cu, uu, un, currentRows: n } = state;
  const used: number[] = [];
  for (let e = 0; e < experts; e++) if (current[e * experts + e]! > 0) used.push(e);
  for (let i = 0; i < used.length; i++) {
    const a = used[i]!;
    const ofA = current[a * experts + a]!;
    counts[a * experts + a]! += ofA;
    uu[a * experts + a]! += ofA * ofA;
    un[a]! += ofA * n;
    for (let j = i + 1; j < used.length; j++) {
      const b = used[j]!;
      const at = a * experts + b;
      const ofB = current[b * experts + b]!;
      uu[at]! += ofA * ofB;
      const c = current[at]!;
      if (c === 0) continue;
      const mirrored = b * experts + a;
      counts[at]! += c;
      counts[mirrored]! += c;
      cc[at]! += c * c;
      cn[at]! += c * n;
      cu[at]! += c * ofA;
      cu[mirrored]! += c * ofB;
    }
  }
  current.fill(0);
  state.rows += n;
  state.nn += n * n;
  state.texts++;
  state.currentRows = 0;
}

/**
 * A pair's lift is C / E, and E follows from how often the two are used, so a text that uses both more than others moves
 * both. To first order a text changes C / E by r / E, r = c - n C / N - (C / U(a)) (u(a) - n U(a) / N) - (C / U(b)) (u(b) -
 * n U(b) / N), sums over texts in capitals. The variance of Σ r is k / (k - 1) Σ r² of k texts.
 *
 * A pair that chance brought together rarely has a small Σ r² as well, and would seem more certain than it is. So the
 * variance is at least that of independent rows times what it is greater by in the layer's pairs on the whole (the design
 * effect of its texts: Kish 1965).
 *
 * Source: Taylor linearisation, Woodruff, J. Am. Stat. Assoc. 66 (1971).
 */
function standardErrors(state: State, { counts, expected, experts }: Coactivation) {
  const { rows, texts, cc, cn, cu, uu, un, nn } = state;
  const ofTexts = (a: number, b: number): number => {
    const [at, mirrored] = [a * experts + b, b * experts + a];
    const [ofA, ofB] = [counts[a * experts + a]!, counts[b * experts + b]!];
    const [pA, pB] = [ofA / rows, ofB / rows];
    const p = counts[at]! / rows;
    const [alpha, beta] = [counts[at]! / ofA, counts[at]! / ofB];
    const pairs = cc[at]! - 2 * p * cn[at]! + p * p * nn;
    const withA = cu[at]! - pA * cn[at]! - p * un[a]! + p * pA * nn;
    const withB = cu[mirrored]! - pB * cn[at]! - p * un[b]! + p * pB * nn;
    const aa = uu[a * experts + a]! - 2 * pA * un[a]! + pA * pA * nn;
    const bb = uu[b * experts + b]! - 2 * pB * un[b]! + pB * pB * nn;
    const ab = uu[at]! - pA * un[b]! - pB * un[a]! + pA * pB * nn;
    const squares =
      pairs - 2 * alpha * withA - 2 * beta * withB + alpha ** 2 * aa + beta ** 2 * bb + 2 * alpha * beta * ab;
    return (squares * texts) / (texts - 1);
  };
  const ofRows = (a: number, b: number, count: number) =>
    rows * independent(count / rows, counts[a * experts + a]! / rows, counts[b * experts + b]! / rows);
  let [clustered, single] = [0, 0];
  for (let a = 0; a < experts; a++)
    for (let b = a + 1; b < experts; b++) {
      const count = counts[a * experts + b]!;
      if (count === 0) continue;
      clustered += ofTexts(a, b) / count;
      single += ofRows(a, b, count) / count;
    }
  const design = Math.max(1, clustered / single);
  return (a: number, b: number): number => {
    if (texts < 2) return Number.NaN;
    const expect = expected[a * experts + b]!;
    return Math.sqrt(Math.max(ofTexts(a, b), design * ofRows(a, b, expect))) / expect;
  };
}

/** Variance of a row's r where rows are independent and the pair is neutral. */
function independent(p: number, pA: number, pB: number): number {
  const [alpha, beta] = [p / pA, p / pB];
  return (
    p * (1 - p) +
    alpha ** 2 * pA * (1 - pA) +
    beta ** 2 * pB * (1 - pB) -
    2 * alpha * p * (1 - pA) -
    2 * beta * p * (1 - pB) +
    2 * alpha * beta * (p - pA * pB)
  );
}

/**
 * Whether a lift is 1, against Student's t of the texts less one, with the interval of the lifts it does not reject. One
 * long text among short ones is most of the variance, so that fewer than all texts count.
 */
export function testLift(lift: number, standardError: number, evenTexts: number) {
  const degrees = Math.max(1, Math.floor(evenTexts - 1));
  const half = cachedQuantile(degrees) * standardError;
  return {
    pValue: studentTwoSided(Math.abs(lift - 1) / standardError, degrees),
    interval: [Math.max(0, lift - half), lift + half] as const,
  };
}
