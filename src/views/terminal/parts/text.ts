const graphemes = new Intl.Segmenter("en", { granularity: "grapheme" });

/** East Asian Wide and Fullwidth (UAX #11), by script and block, and what is shown as an emoji. */
const WIDE =
  /^[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}\p{Script=Yi}\u3000-\u303e\uff01-\uff60\uffe0-\uffe6\p{Emoji_Presentation}]|\ufe0f/u;
const HALFWIDTH = /^[\uff61-\uffdc]/u;
const ZERO = /^[\p{M}\u200d]+$/u;

function columnsOf(grapheme: string): number {
  if (ZERO.test(grapheme)) return 0;
  return WIDE.test(grapheme) && !HALFWIDTH.test(grapheme) ? 2 : 1;
}

/** Columns a text without escape sequences takes. */
export function displayWidth(text: string): number {
  // Most text is ASCII, and a segmenter is slow.
  if (/^[\x20-\x7e]*$/.test(text)) return text.length;
  let width = 0;
  for (const { segment } of graphemes.segment(text)) width += columnsOf(segment);
  return width;
}

/** The text, its end replaced by `…` where it would take more than `width` columns. */
export function clip(text: string, width: number): string {
  if (displayWidth(text) <= width) return text;
  let out = "";
  let used = 0;
  for (const { segment } of graphemes.segment(text)) {
    used += columnsOf(segment);
    if (used > width - 1) break;
    out += segment;
  }
  return `${out}…`;
}

export function padRight(text: string, width: number): string {
  return text + " ".repeat(Math.max(0, width - displayWidth(text)));
}

export function padLeft(text: string, width: number): string {
  return " ".repeat(Math.max(0, width - displayWidth(text))) + text;
}

/**
 * The text in lines of at most `width` columns, broken at spaces; a word that is longer after a slash, as a path, and
 * what has neither where the line ends.
 */
export function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  const fits = (more: string) => displayWidth(line + more) <= width;
  const end = () => {
    if (line !== "") lines.push(line);
    line = "";
  };
  for (const word of text.split(" ")) {
    const spaced = line === "" ? word : ` ${word}`;
    if (fits(spaced)) {
      line += spaced;
      continue;
    }
    end();
    for (const piece of word.split(/(?<=\/)/)) {
      if (!fits(piece)) end();
      for (const { segment } of graphemes.segment(piece)) {
        if (!fits(segment)) end();
        line += segment;
      }
    }
  }
  return [...lines, line];
}
