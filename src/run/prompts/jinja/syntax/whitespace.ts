/**
 * What Python's `str.isspace()` is true of, as a class of a regular expression: JavaScript's `\s` takes the byte order
 * mark for space and U+001C to U+001F and U+0085 for none.
 */
export const SPACE =
  "[\\t-\\r\\x1c-\\x20\\x85\\xa0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000]";

const LEADING = new RegExp(`^${SPACE}+`);
const TRAILING = new RegExp(`${SPACE}+$`);

/** Python's `str.strip()` and its one-sided forms. @param chars what to strip. Default: whitespace. */
export function strip(text: string, chars: string | null, sides: { left: boolean; right: boolean }): string {
  if (chars === null) {
    const left = sides.left ? text.replace(LEADING, "") : text;
    return sides.right ? stripEnd(left) : left;
  }
  const set = new Set(chars);
  const points = [...text];
  let from = 0;
  let to = points.length;
  if (sides.left) while (from < to && set.has(points[from]!)) from++;
  if (sides.right) while (to > from && set.has(points[to - 1]!)) to--;
  return points.slice(from, to).join("");
}

/** A regular expression with `+$` takes quadratic time on long runs of spaces inside a text. */
function stripEnd(text: string): string {
  let end = text.length;
  while (end > 0 && TRAILING.test(text[end - 1]!)) end--;
  return text.slice(0, end);
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: they end lines in Python
const LINE_END = /\r\n|[\n-\r\x1c-\x1e\x85\u2028\u2029]/g;

/** Python's `str.splitlines()`. */
export function splitLines(text: string, keepEnds = false): string[] {
  const lines: string[] = [];
  let from = 0;
  for (const { 0: end, index } of text.matchAll(LINE_END)) {
    lines.push(text.slice(from, keepEnds ? index + end.length : index));
    from = index + end.length;
  }
  if (from < text.length) lines.push(text.slice(from));
  return lines;
}
