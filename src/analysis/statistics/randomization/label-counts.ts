import { addUnits, COLUMNS, UnitBlocks } from "./add-units.ts";
import { LabelOrder } from "./label-order.ts";
import type { Units } from "./units.ts";

/** Whole numbers up to 2^53 are exact in a double. */
const EXACT_BITS = 53;
/** An addition over all experts in turn costs about half of one that looks up its expert. */
const DENSE_GAIN = 2;

/**
 * Counts how often the units of each label used each expert, for any order of the units' labels.
 *
 * @param label of each unit, read at every count; may be permuted between two.
 * @returns a function that fills `counts` (`[labels, experts]`: rows of the label that used the expert) and `rows`.
 */
export function labelCounter(units: Units, label: Int32Array, labels: number, experts: number) {
  const fields = fieldsOf(units, experts);
  const dense = (label.length * experts) / fields <= DENSE_GAIN * units.experts.length;
  const add = dense
    ? packedCounter(units, label, labels, experts, fields)
    : sparseCounter(units, label, experts);
  return (counts: Float64Array, rows: Float64Array) => {
    rows.fill(0);
    for (let unit = 0; unit < label.length; unit++) rows[label[unit]!]! += units.rows[unit]!;
    add(counts);
  };
}

/** Units that use few of the experts: one addition for each that they use. */
function sparseCounter({ offsets, experts: used, counts: of }: Units, label: Int32Array, experts: number) {
  return (counts: Float64Array) => {
    counts.fill(0);
    for (let unit = 0; unit < label.length; unit++) {
      const at = label[unit]! * experts;
      for (let i = offsets[unit]!; i < offsets[unit + 1]!; i++) counts[at + used[i]!]! += of[i]!;
    }
  };
}

/**
 * Units that use most of them: the counts of several experts share a number as the digits of a large base do, and one
 * addition adds them all. No digit can overflow, so the counts are the same.
 */
function packedCounter(units: Units, label: Int32Array, labels: number, experts: number, fields: number) {
  const base = 2 ** Math.floor(EXACT_BITS / fields);
  const packed = new UnitBlocks(label.length, Math.ceil(experts / fields));
  const { width, blocks } = packed;
  for (let unit = 0; unit < label.length; unit++)
    for (let i = units.offsets[unit]!; i < units.offsets[unit + 1]!; i++) {
      const digit = Math.floor(units.experts[i]! / width);
      packed.add(unit, units.experts[i]! % width, units.counts[i]! * base ** digit);
    }
  const order = new LabelOrder(label, labels);
  const sums = new Float64Array(labels * width);
  return (counts: Float64Array) => {
    order.sort();
    blocks.forEach((block, b) => {
      for (let l = 0; l < labels; l++)
        addUnits(block, order.units, order.starts[l]!, order.starts[l + 1]!, sums, l * width + b * COLUMNS);
    });
    for (let l = 0; l < labels; l++)
      for (let i = 0; i < width; i++) {
        let rest = sums[l * width + i]!;
        for (let expert = i; expert < experts; expert += width) {
          const upper = Math.floor(rest / base);
          counts[l * experts + expert] = rest - upper * base;
          rest = upper;
        }
      }
  };
}

/** How many experts' counts fit into one number, whatever the labels. */
function fieldsOf({ offsets, experts: used, counts }: Units, experts: number): number {
  const total = new Float64Array(experts);
  for (let i = 0; i < offsets.at(-1)!; i++) total[used[i]!]! += counts[i]!;
  const most = total.reduce((max, n) => Math.max(max, n), 1);
  return Math.max(1, Math.floor(EXACT_BITS / Math.ceil(Math.log2(most + 1))));
}
