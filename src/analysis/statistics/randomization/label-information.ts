import { choiceInformation, expertInformation } from "../mutual-information.ts";
import { labelCounter } from "./label-counts.ts";
import { seededRandom, shuffle } from "./random.ts";
import type { Units } from "./units.ts";

/** How much labels and experts tell of each other, and how much of that chance brings. */
export interface LabelInformation {
  /** `[labels, experts]`: rows of the label that used the expert. */
  readonly counts: Float64Array;
  /** Rows per label. */
  readonly rows: Float64Array;
  /** Mutual information of (expert, label) over all choices of the layer, bits; and the mean of permuted labels. */
  readonly layer: Informed<number>;
  /** `[experts]`: the same of (row used the expert, label). */
  readonly experts: Informed<Float64Array>;
}

interface Informed<T> {
  readonly observed: T;
  readonly chance: T;
}

/** A mean needs fewer permutations than a p-value: this many leave a fifteenth of a standard deviation. */
const PERMUTATIONS = 199;

/** Mutual information of labels and experts, and its mean when the labels of units are permuted. */
export function labelInformation(
  units: Units,
  labels: number,
  experts: number,
  permutations: number,
  seed: number,
): LabelInformation {
  const label = units.label.slice();
  const random = seededRandom(seed);
  const counts = new Float64Array(labels * experts);
  const rows = new Float64Array(labels);
  const each = new Float64Array(experts);
  const count = labelCounter(units, label, labels, experts);
  count(counts, rows);
  expertInformation(counts, rows, each);
  const observed = { counts: counts.slice(), rows: rows.slice(), each: each.slice() };
  const whole = choiceInformation(counts, labels, experts);
  const chance = { whole: 0, each: new Float64Array(experts) };
  const times = Math.min(permutations, PERMUTATIONS);
  for (let i = 0; i < times; i++) {
    shuffle(label, random);
    count(counts, rows);
    expertInformation(counts, rows, each);
    chance.whole += choiceInformation(counts, labels, experts) / times;
    for (let e = 0; e < experts; e++) chance.each[e]! += each[e]! / times;
  }
  return {
    counts: observed.counts,
    rows: observed.rows,
    layer: { observed: whole, chance: chance.whole },
    experts: { observed: observed.each, chance: chance.each },
  };
}
