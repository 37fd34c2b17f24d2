type Value = string | number | null | undefined;

/**
 * Rows as RFC 4180 text. A text that a spreadsheet would run as a formula gets a quote mark before it: tokens come
 * from models and prompts.
 */
export function csv(columns: readonly string[], rows: Iterable<readonly Value[]>): string {
  const lines = [columns.join(",")];
  for (const row of rows) lines.push(row.map(field).join(","));
  return `${lines.join("\r\n")}\r\n`;
}

function field(value: Value): string {
  if (value === null || value === undefined || Number.isNaN(value)) return "";
  if (typeof value === "number") return String(value);
  const safe = /^[=+\-@\t\r]/.test(value) ? `'${value}` : value;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
