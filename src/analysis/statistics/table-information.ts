import { nLogN } from "./n-log-n.ts";
import { seededRandom, shuffle } from "./randomization/random.ts";

/** What the rows and columns of a table of counts tell of each other. */
export interface TableInformation {
  /** Mutual information in bits, adjusted for chance; `null` with too few rows to tell it from chance. */
  readonly information: number | null;
  /** Entropy of the columns in bits: the most that {@link information} can be. */
  readonly entropy: number;
}

/**
 * Chance may give this part of the entropy; beyond, the adjusted information is off by more than a tenth. Measured on
 * planted tables of 16 to 512 experts, see docs/analysis.md.
 */
const MOST_CHANCE = 0.5;
/** Rows that are shuffled together, so that chance is known to a few hundredths. */
const SHUFFLED_ROWS = 2 ** 17;
const MOST_SHUFFLES = 20;
/** Rows a cell from which the bias of the full table is chance's share, to a few hundredths. */
const MANY_ROWS = 16;

/**
 * Mutual information of the rows and columns of a table, adjusted for what independent rows and columns would give
 * with so few counts: (I - C) / (H - C) H, I as the counts have it, C its mean when one of the two is shuffled, H the
 * entropy of the columns. Subtracting the bias of the full table instead gives far too little where cells are empty.
 *
 * Source: Vinh, Epps and Bailey, J. Mach. Learn. Res. 11 (2010); `sklearn.metrics.adjusted_mutual_info_score` has C
 * exactly. The last H is Chao and Shen's estimate (Environ. Ecol. Stat. 10, 2003), which counts columns not seen.
 *
 * @param table `[size, size]`: whole numbers.
 */
export function tableInformation(table: ArrayLike<number>, size: number): TableInformation {
  const a = new Float64Array(size);
  const b = new Float64Array(size);
  let joint = 0;
  let rows = 0;
  for (let i = 0; i < size; i++)
    for (let j = 0; j < size; j++) {
      const n = table[i * size + j]!;
      if (n === 0) continue;
      a[i]! += n;
      b[j]! += n;
      rows += n;
      joint += nLogN(n);
    }
  if (rows === 0) return { information: null, entropy: 0 };
  const sum = (values: Float64Array) => values.reduce((total, n) => total + nLogN(n), 0);
  const marginal = Math.log2(rows) - (sum(a) + sum(b)) / rows;
  const plugIn = marginal + joint / rows;
  const seen = Math.max(0, Math.log2(rows) - sum(b) / rows);
  const entropy = Math.min(Math.log2(size), unseenEntropy(b, rows));
  // One expert serves everything: there is nothing to tell.
  if (seen < 1e-12) return { information: 0, entropy: 0 };
  const chance = marginal + chanceJoint(a, b, rows) / rows;
  if (chance > MOST_CHANCE * seen) return { information: null, entropy };
  return { information: Math.max(0, ((plugIn - chance) / (seen - chance)) * entropy), entropy };
}

/** Σ n log2 n of the cells of a table with these margins and no relation, on average. */
function chanceJoint(a: Float64Array, b: Float64Array, rows: number): number {
  const occurring = (values: Float64Array) => values.filter((n) => n > 0).length;
  const cells = occurring(a) * occurring(b);
  if (rows > SHUFFLED_ROWS && rows > MANY_ROWS * cells) {
    const bias = ((occurring(a) - 1) * (occurring(b) - 1)) / (2 * Math.LN2);
    const sum = (values: Float64Array) => values.reduce((total, n) => total + nLogN(n), 0);
    return bias - rows * Math.log2(rows) + sum(a) + sum(b);
  }
  const random = seededRandom(0);
  const left = membersOf(a, rows);
  const right = membersOf(b, rows);
  const counts = new Uint32Array(a.length * b.length);
  const shuffles = Math.min(MOST_SHUFFLES, Math.ceil(SHUFFLED_ROWS / rows));
  let total = 0;
  for (let i = 0; i < shuffles; i++) {
    shuffle(right, random);
    // A cell's n log n from its additions, so that few rows of many experts need no pass over all cells.
    for (let row = 0; row < rows; row++) {
      const cell = left[row]! * b.length + right[row]!;
      const n = counts[cell]!++;
      total += nLogN(n + 1) - nLogN(n);
    }
    for (let row = 0; row < rows; row++) counts[left[row]! * b.length + right[row]!] = 0;
  }
  return total / shuffles;
}

/** Each index as often as it is counted. */
function membersOf(counts: Float64Array, rows: number): Int32Array {
  const members = new Int32Array(rows);
  let at = 0;
  counts.forEach((n, index) => {
    members.fill(index, at, at + n);
    at += n;
  });
  return members;
}

/** Chao and Shen's estimate of an entropy in bits: coverage 1 - f1 / n, and a chance of having been seen for each. */
function unseenEntropy(counts: Float64Array, rows: number): number {
  const once = Math.min(rows - 1, counts.filter((n) => n === 1).length);
  const coverage = 1 - once / rows;
  return counts.reduce((entropy, n) => {
    if (n === 0) return entropy;
    const p = (coverage * n) / rows;
    return entropy - (p * Math.log2(p)) / (1 - (1 - p) ** rows);
  }, 0);
}
