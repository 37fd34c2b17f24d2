import type { LayerChunk } from "../../rows/layer-chunk.ts";
import type { RowGroups } from "../../rows/row-groups.ts";
import { halfWidth } from "../../statistics/randomization/critical-values.ts";
import { MOST_UNITS, type UnitDifferences } from "../../statistics/randomization/sign-flips.ts";

/**
 * How the groups of each text's rows differ in their use of experts, while the rows pass. Texts are put together into
 * at most 64 units, so that this does not grow with the capture.
 */
export interface TextDifferences {
  readonly groups: number;
  readonly units: number;
  /** `[units, groups, experts]`: rows of the group that used the expert less those expected from their texts. */
  readonly values: Float64Array;
  /** `[units, groups]`: weight of the group's contrast with the other rows of its texts, n (N - n) / N. */
  readonly weights: Float64Array;
  /** By group the texts that have rows of it. */
  readonly texts: Float64Array;
  /** Of the text that is being counted. */
  readonly current: Uint32Array;
  readonly rows: Uint32Array;
  open: number;
  closed: number;
}

const NONE = -1;

/** @param samples that have rows. */
export function startDifferences({ names }: RowGroups, experts: number, samples: number): TextDifferences {
  const groups = names.length;
  const units = Math.min(MOST_UNITS, samples);
  return {
    groups,
    units,
    values: new Float64Array(units * groups * experts),
    weights: new Float64Array(units * groups),
    texts: new Float64Array(groups),
    current: new Uint32Array(groups * experts),
    rows: new Uint32Array(groups),
    open: NONE,
    closed: 0,
  };
}

/** Rows of a sample come together. */
export function addDifferences(
  state: TextDifferences,
  { ofRow }: RowGroups,
  { from, sample, rows, ids, topK }: LayerChunk,
): void {
  const experts = state.current.length / Math.max(1, state.groups);
  for (let row = 0; row < rows; row++) {
    if (sample[row] !== state.open) {
      closeText(state);
      state.open = sample[row]!;
    }
    const group = ofRow[from + row]!;
    state.rows[group]!++;
    const base = group * experts;
    for (let i = row * topK; i < (row + 1) * topK; i++) state.current[base + ids[i]!]!++;
  }
}

/** Ends a text, and the counting. */
export function closeText(state: TextDifferences): void {
  if (state.open === NONE) return;
  const { groups, rows, current } = state;
  const experts = current.length / groups;
  const unit = state.closed % state.units;
  const total = rows.reduce((sum, n) => sum + n, 0);
  const used = new Float64Array(experts);
  for (let i = 0; i < current.length; i++) used[i % experts]! += current[i]!;
  for (let g = 0; g < groups; g++) {
    const n = rows[g]!;
    if (n === 0) continue;
    state.texts[g]!++;
    if (n === total) continue;
    state.weights[unit * groups + g]! += (n * (total - n)) / total;
    const at = (unit * groups + g) * experts;
    for (let e = 0; e < experts; e++)
      state.values[at + e]! += current[g * experts + e]! - (n * used[e]!) / total;
  }
  current.fill(0);
  rows.fill(0);
  state.open = NONE;
  state.closed++;
}

/** Several groupings of the same texts side by side. */
export function besideEachOther(parts: readonly TextDifferences[], experts: number): UnitDifferences {
  const { units } = parts[0]!;
  const columns = parts.reduce((sum, { groups }) => sum + groups * experts, 0);
  const values = new Float64Array(units * columns);
  for (let unit = 0, at = 0; unit < units; unit++)
    for (const part of parts) {
      const width = part.groups * experts;
      values.set(part.values.subarray(unit * width, (unit + 1) * width), at);
      at += width;
    }
  return { units, columns, values };
}

/**
 * Share of each group less that of the other rows of the same texts, `[groups, experts]`, with half the 95 % interval:
 * √critical √(Σ d²) / Σ weight, which excludes 0 exactly where the flips say p <= 0.05 (two-sided).
 *
 * @param critical as the test of the groups found it.
 */
export function contrasts(
  { groups, units, values, weights }: TextDifferences,
  experts: number,
  critical: Float64Array,
) {
  const differences = new Float64Array(groups * experts);
  const halfWidths = new Float64Array(groups * experts).fill(Infinity);
  for (let g = 0; g < groups; g++) {
    let weight = 0;
    for (let unit = 0; unit < units; unit++) weight += weights[unit * groups + g]!;
    if (weight === 0) continue;
    for (let e = 0, i = g * experts; e < experts; e++, i++) {
      let [sum, squares] = [0, 0];
      for (let unit = 0; unit < units; unit++) {
        const value = values[(unit * groups + g) * experts + e]!;
        sum += value;
        squares += value * value;
      }
      differences[i] = sum / weight;
      halfWidths[i] = halfWidth(critical[i]!, Math.sqrt(squares) / weight);
    }
  }
  return { differences, halfWidths };
}
