/**
 * Texts (or single rows) by how far they use each expert more than any text does at the same positions, for tests and
 * intervals that take a unit as one observation.
 */
export interface MatchedUnits {
  /** Label index of each unit. */
  readonly label: Int32Array;
  /** Rows of each unit at positions that several labels have: what is compared. */
  readonly rows: Float64Array;
  /** By expert the part of all compared rows that used it. */
  readonly shares: Float64Array;
  /**
   * Fill `out` with rows that used the expert less those expected from their positions, of a unit and the experts
   * `[from, to)`.
   */
  residuals(unit: number, from: number, to: number, out: Float64Array): void;
}
