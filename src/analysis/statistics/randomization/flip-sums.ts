import { addUnits, COLUMNS } from "./add-units.ts";

/** What differs within each of some units: a text's tokens against each other, or a text in two captures. */
export interface UnitDifferences {
  readonly units: number;
  readonly columns: number;
  /** `[units, columns]`. */
  readonly values: Float64Array;
}

/** Units whose 2^6 ways to be flipped are summed once and then looked up: about a third of the additions. */
const TOGETHER = 6;
const SIGNS = 2 ** TOGETHER;
/** Sums in memory at a time: 8 MB. */
const MOST_SUMS = 2 ** 20;

/**
 * Sums of the columns for random flips of the units.
 *
 * @param random gives for each way and unit in turn whether the unit is flipped once more (below a half).
 * @param visit gets the sums of the columns of each way, which change after it returns.
 */
export function forRandomFlips(
  { units, columns, values }: UnitDifferences,
  ways: number,
  random: () => number,
  visit: (sums: Float64Array, way: number) => void,
): void {
  const groups = Math.ceil(units / TOGETHER);
  const width = COLUMNS * Math.ceil(columns / COLUMNS);
  const batch = Math.max(1, Math.min(ways, Math.floor(MOST_SUMS / Math.max(1, width))));
  const sums = new Float64Array(batch * width);
  const table = new Float64Array(groups * SIGNS * COLUMNS);
  /** `[batch, groups]`: rows of the table. */
  const rows = new Uint32Array(batch * groups);
  const signs = new Uint32Array(groups);
  for (let from = 0; from < ways; from += batch) {
    const now = Math.min(batch, ways - from);
    for (let way = 0; way < now; way++) {
      for (let unit = 0; unit < units; unit++)
        if (random() < 0.5) signs[Math.floor(unit / TOGETHER)]! ^= 1 << (unit % TOGETHER);
      for (let g = 0; g < groups; g++) rows[way * groups + g] = g * SIGNS + signs[g]!;
    }
    for (let column = 0; column < columns; column += COLUMNS) {
      sumOfSigns(values, units, columns, column, table);
      for (let way = 0; way < now; way++)
        addUnits(table, rows, way * groups, (way + 1) * groups, sums, way * width + column);
    }
    for (let way = 0; way < now; way++) visit(sums.subarray(way * width, way * width + columns), from + way);
  }
}

/** `[groups, signs, COLUMNS]`: the sum of a group's units for each choice of those that are negative. */
function sumOfSigns(
  values: Float64Array,
  units: number,
  columns: number,
  column: number,
  table: Float64Array,
): void {
  table.fill(0);
  const here = Math.min(COLUMNS, columns - column);
  for (let first = 0, at = 0; first < units; first += TOGETHER, at += SIGNS * COLUMNS) {
    const size = Math.min(TOGETHER, units - first);
    for (let unit = 0; unit < size; unit++)
      for (let c = 0; c < here; c++) table[at + c]! += values[(first + unit) * columns + column + c]!;
    for (let unit = 0; unit < size; unit++) {
      const from = (first + unit) * columns + column;
      // All choices among the units before, with this one negative as well.
      for (let choice = 0; choice < 1 << unit; choice++) {
        const [without, having] = [at + choice * COLUMNS, at + (choice + (1 << unit)) * COLUMNS];
        for (let c = 0; c < here; c++) table[having + c] = table[without + c]! - 2 * values[from + c]!;
      }
    }
  }
}
