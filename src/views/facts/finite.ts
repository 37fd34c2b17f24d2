/** What JSON has no number for (NaN, infinity) as `null`. */
export const finite = (value: number | null): number | null =>
  value !== null && Number.isFinite(value) ? value : null;
