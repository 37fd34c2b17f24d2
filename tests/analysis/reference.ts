import { readFileSync } from "node:fs";
import type { Gating } from "../../src/core/gating.ts";
import type { Tensor } from "../../src/core/tensor.ts";

/** A number as `reference.py` writes it. */
type Num = number | "inf" | "-inf" | "nan";
type Matrix = readonly (readonly Num[])[];

/** What `reference.py` wrote; see there. */
export const reference = JSON.parse(readFileSync(new URL("reference.json", import.meta.url), "utf8")) as {
  softmax: { input: Matrix; output: Matrix };
  topk: { input: Matrix; cases: { k: number; values: Matrix; indices: Matrix }[] };
  analyzeExpertUsage: {
    input: Record<string, Matrix>;
    cases: {
      options: { top_k?: number; token_range?: [number | null, number | null]; normalize?: boolean };
      output: {
        expert_selection: Record<string, Matrix>;
        expert_weights: Record<string, Matrix>;
        expert_usage_counts: Record<string, number[]>;
        load_balance: Record<string, number>;
        num_tokens_analyzed: number;
      };
    }[];
  };
  route: {
    name: string;
    gating: Gating;
    topK: number;
    logits: Matrix;
    bias: number[] | null;
    ids: Matrix;
    weights: Matrix;
    gateEntropy: number[];
    gateMargin: number[];
  }[];
  capture: {
    experts: number;
    topK: number;
    labels: string[];
    lengths: number[];
    logits: Matrix;
    ids: Matrix;
    counts: number[];
    weights: number[];
    byLabel: Record<string, { rows: number; counts: number[] }>;
    cv: number;
    maxVio: number;
    entropy: number;
    rowEntropy: number[];
    rowMargin: number[];
    information: number[];
    choiceInformation: number;
    pairs: Matrix;
    lift: Matrix;
  };
  wilson: { count: number; rows: number; confidence: number; interval: [number, number] }[];
  benjaminiHochberg: { p: number[]; q: number[] };
  pairChances: { inclusion: number[]; size: number; chances: Matrix }[];
  studentTails: { t: number; degrees: number; p: number }[];
  permutation: {
    lengths: number[];
    used: number[];
    label: number[];
    matchedRows: number;
    difference: number;
    halfWidth: number;
    clustered: number;
    variance: number;
    shareP: number;
    expertP: number;
  };
  student: { degrees: number; p: number; quantile: number }[];
  comparison: {
    experts: number;
    topK: number;
    lengths: number[];
    a: Matrix;
    b: Matrix;
    kl: number[];
    js: number[];
    overlap: number[];
    exact: number;
    top1: number;
    shareA: number[];
    shareB: number[];
    p: number[];
    q: number[];
    halfWidth: number[];
  };
  clusters: {
    distances: number[][];
    merges: [number, number, number, number][];
    leaves: number[];
    cuts: number[][];
    silhouettes: number[];
  };
  ridge: { x: number[][]; y: number[]; fitted: number; predicted: number[] };
  tables: { experts: number; a: number[]; b: number[]; information: number | null; entropy: number }[];
  flips: {
    sample: number[];
    group: number[];
    expert: number[];
    shareP: Matrix;
    shareQ: number[];
    groupP: number[];
    layerP: number;
    difference: Matrix;
    information: number;
    js: number;
  };
  analysis: {
    experts: number;
    topK: number;
    labels: string[];
    lengths: number[];
    promptTokens: number[];
    phases: number[];
    tokenIds: number[];
    /** By layer, as what follows. */
    logits: number[][][];
    weights: number[][][];
    hidden: number[][][];
    company: {
      expected: Matrix;
      lift: Matrix;
      /** a, b, p, interval, q. */
      tests: [number, number, number, number, number, number][];
      clusters: number[][];
      silhouette: number;
    }[];
    positions: GroupReference[];
    phaseGroups: GroupReference[];
    parity: GroupReference[];
    tastes: {
      byLift: Record<string, { texts: number; p: number; lift: number; liftLow: number; q: number }>;
      byWeight: Record<string, [weight: number, row: number]>;
    }[][];
    flow: {
      information: number;
      entropy: number;
      counts: Matrix;
      lift: Matrix;
      probability: Matrix;
    };
    similarity: Matrix;
    paths: { experts: number[][]; counts: number[] };
  };
};

interface GroupReference {
  readonly rows: number[];
  readonly counts: number[][];
  readonly divergence: number[];
  readonly information: number;
}

/** All numbers of a matrix, row after row. */
export function flat(matrix: Matrix): number[] {
  const special: Record<string, number> = { inf: Infinity, "-inf": -Infinity, nan: Number.NaN };
  return matrix.flat().map((x) => (typeof x === "number" ? x : special[x]!));
}

export function float32(matrix: Matrix): Tensor<"float32"> {
  const data = Float32Array.from(flat(matrix));
  return { type: "float32", dims: [matrix.length, data.length / matrix.length], data };
}

/** Largest difference to what was expected, relative to the expected where that exceeds 1; NaN matches only NaN. */
export function error(actual: ArrayLike<number>, expected: readonly number[]): number {
  if (actual.length !== expected.length) return Infinity;
  return expected.reduce((worst, want, i) => {
    const got = actual[i]!;
    if (Object.is(got, want) || got === want) return worst;
    const difference = Math.abs(got - want) / Math.max(1, Math.abs(want));
    return Number.isNaN(difference) ? Infinity : Math.max(worst, difference);
  }, 0);
}
