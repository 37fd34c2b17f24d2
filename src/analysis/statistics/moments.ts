import { schema } from "../../core/schema.ts";

/**
 * What is kept of a number of each row: enough for mean, spread and range, and to put two parts together. Plain data.
 *
 * Rows whose number is not finite are counted in `rows` and left out of `finite`, `mean`, `squares`, `min` and `max`;
 * `sum` takes them as they are.
 */
export interface Moments {
  rows: number;
  sum: number;
  /** Rows whose number is finite. */
  finite: number;
  /** Mean of the finite ones, as Welford's update has it; 0 while there is none. */
  mean: number;
  /** Sum of squared differences from {@link mean}. */
  squares: number;
  /** `Infinity` while there is none. */
  min: number;
  /** `-Infinity` while there is none. */
  max: number;
}

export const noMoments = (): Moments => ({
  rows: 0,
  sum: 0,
  finite: 0,
  mean: 0,
  squares: 0,
  min: Infinity,
  max: -Infinity,
});

/**
 * Add the numbers of rows `[from, to)`, one after the other, by Welford's update, which does not cancel (Technometrics
 * 4, 1962).
 */
export function addValues(moments: Moments, values: Float64Array, from: number, to: number): void {
  // In local variables, which stay in registers.
  let { sum, finite, mean, squares, min, max } = moments;
  for (let row = from; row < to; row++) {
    const value = values[row]!;
    sum += value;
    if (!Number.isFinite(value)) continue;
    finite++;
    const before = value - mean;
    mean += before / finite;
    squares += before * (value - mean);
    if (value < min) min = value;
    if (value > max) max = value;
  }
  moments.rows += to - from;
  moments.sum = sum;
  moments.finite = finite;
  moments.mean = mean;
  moments.squares = squares;
  moments.min = min;
  moments.max = max;
}

/** Both parts together: Chan, Golub and LeVeque, "Updating formulae" (COMPSTAT 1982). */
export function mergeMoments(a: Moments, b: Moments): Moments {
  const finite = a.finite + b.finite;
  const difference = b.mean - a.mean;
  const part = finite === 0 ? 0 : b.finite / finite;
  return {
    rows: a.rows + b.rows,
    sum: a.sum + b.sum,
    finite,
    mean: a.mean + difference * part,
    squares: a.squares + b.squares + difference * difference * a.finite * part,
    min: Math.min(a.min, b.min),
    max: Math.max(a.max, b.max),
  };
}

/** A number of each row, over the rows where it is finite. */
export interface RowSummary {
  /** Rows where it is finite, which the rest is about ... */
  readonly rows: number;
  /** ... and the others. */
  readonly notFinite: number;
  readonly mean: number | null;
  /** Unbiased standard deviation. */
  readonly deviation: number | null;
  readonly min: number | null;
  readonly max: number | null;
}

export function summaryOf({ rows, finite, mean, squares, min, max }: Moments): RowSummary {
  const some = finite > 0;
  return {
    rows: finite,
    notFinite: rows - finite,
    mean: some ? mean : null,
    deviation: finite > 1 ? Math.sqrt(squares / (finite - 1)) : null,
    min: some ? min : null,
    max: some ? max : null,
  };
}

/** JSON has no NaN and no infinity: a sum that is not finite is `null`, as are the ends of no range. */
export const momentsToJson = ({ sum, min, max, ...rest }: Moments) => ({
  ...rest,
  sum: Number.isFinite(sum) ? sum : null,
  min: rest.finite > 0 ? min : null,
  max: rest.finite > 0 ? max : null,
});

export const momentsFromJson = schema((z) => {
  const count = z.int().nonnegative();
  return z
    .object({
      rows: count,
      sum: z.number().nullable(),
      finite: count,
      mean: z.number(),
      squares: z.number(),
      min: z.number().nullable(),
      max: z.number().nullable(),
    })
    .transform(
      ({ sum, min, max, ...rest }): Moments => ({
        ...rest,
        sum: sum ?? Number.NaN,
        min: min ?? Infinity,
        max: max ?? -Infinity,
      }),
    );
});
