const EIGHTHS = [..." ▏▎▍▌▋▊▉"];

/** A bar of `amount` (0 to 1) times `width` columns, to an eighth of a column. */
export function bar(amount: number, width: number): string {
  const eighths = Math.round(Math.min(1, Math.max(0, amount)) * width * 8);
  return ("█".repeat(eighths >> 3) + EIGHTHS[eighths & 7]!).trimEnd();
}
