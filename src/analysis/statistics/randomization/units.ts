/** What keeps its choices together while labels are permuted: a sample, or a single row. */
export interface Units {
  /** Label index of each unit. */
  readonly label: Int32Array;
  /** Rows in each unit. */
  readonly rows: Uint32Array;
  /** Where each unit's entries begin in {@link experts} and {@link counts}; one more than there are units. */
  readonly offsets: Uint32Array;
  /** Experts the unit used ... */
  readonly experts: Uint16Array;
  /** ... and in how many of its rows. */
  readonly counts: Uint32Array;
}
