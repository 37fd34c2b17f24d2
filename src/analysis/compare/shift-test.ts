import { CriticalValues, halfWidth } from "../statistics/randomization/critical-values.ts";
import { Exceedances, type Tested } from "../statistics/randomization/max-t.ts";
import {
  columnSums,
  inverseSquares,
  signFlips,
  type UnitDifferences,
} from "../statistics/randomization/sign-flips.ts";

/** Differences of two captures, by sample; only those that are not 0. */
export interface PairedDifferences {
  /** Rows of each sample. */
  readonly rows: Float64Array;
  /** Where each sample's entries begin in {@link columns} and {@link values}; one more than there are samples. */
  readonly offsets: Uint32Array;
  /** What differs (an expert) ... */
  readonly columns: Uint16Array;
  /** ... and by how many rows, B less A. */
  readonly values: Int32Array;
}

export interface ShiftTested {
  /** `[experts]`, two-sided: (Σ d)² / Σ d² over the samples' differences d. */
  readonly tested: Tested;
  /**
   * Half the 95 % interval of Σ d / rows: √critical √(Σ d²) / rows, the critical value from the same flips, so that it
   * excludes 0 exactly where p <= 0.05. Infinity where no p can be.
   */
  readonly halfWidths: Float64Array;
}

/** Samples that are flipped one by one; of more, each 256th goes with the same. */
const MOST_SAMPLES = 256;

/** Test whether use of experts differs between the captures, A and B swapped for whole samples; see `signFlips`. */
export function testShifts(
  differences: PairedDifferences,
  experts: number,
  permutations: number,
  seed: number,
): ShiftTested {
  const units = unitsOf(differences, experts);
  const flips = signFlips(units, permutations, seed);
  const inverse = inverseSquares(units);
  const squares = new Float64Array(experts);
  const statistics = (sums: Float64Array) => {
    for (let e = 0; e < experts; e++) squares[e] = sums[e]! * sums[e]! * inverse[e]!;
    return squares;
  };
  const exceedances = new Exceedances(statistics(columnSums(units)), flips.ways);
  const critical = new CriticalValues(experts, flips.ways, flips.exact);
  flips.forEach((sums, way) => {
    const current = statistics(sums);
    critical.add(current);
    exceedances.add(way, current);
  });
  const rows = units.rows.reduce((sum, n) => sum + n, 0);
  const values = critical.result();
  return {
    tested: exceedances.result(flips.exact),
    halfWidths: inverse.map((one, e) => halfWidth(values[e]!, one > 0 ? 1 / Math.sqrt(one) / rows : 0)),
  };
}

interface SampleUnits extends UnitDifferences {
  readonly rows: Float64Array;
}

function unitsOf({ rows, offsets, columns, values }: PairedDifferences, experts: number): SampleUnits {
  const units = Math.min(MOST_SAMPLES, rows.length);
  const dense = {
    units,
    columns: experts,
    values: new Float64Array(units * experts),
    rows: new Float64Array(units),
  };
  for (let sample = 0; sample < rows.length; sample++) {
    const unit = sample % units;
    dense.rows[unit]! += rows[sample]!;
    for (let i = offsets[sample]!; i < offsets[sample + 1]!; i++)
      dense.values[unit * experts + columns[i]!]! += values[i]!;
  }
  return dense;
}
