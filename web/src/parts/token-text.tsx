import type { ComponentChildren } from "preact";

/** Bytes that are no UTF-8 on their own, as the library spells them. */
const BYTE = /<0x([0-9A-F]{2})>/;
/** Control and format characters, private use, lone surrogates, separators: invisible or worse. */
const UNSAFE = /(?!\u200d)[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/u;
const SPECIAL = new RegExp(`${BYTE.source}|${UNSAFE.source}|[ \\n\\t\\r]`, "gu");

const NAMES: Readonly<Record<string, string>> = { " ": "·", "\n": "↵", "\t": "⇥", "\r": "␍" };

/** A token's text as a string with everything visible: spaces `·`, newlines `↵`, odd characters by their code. */
export const visibleText = (text: string): string =>
  text === "" ? "∅" : text.replace(SPECIAL, (match) => substitute(match));

function substitute(match: string): string {
  const named = NAMES[match];
  if (named !== undefined) return named;
  const byte = BYTE.exec(match);
  if (byte) return byte[1]!;
  return `U+${match.codePointAt(0)!.toString(16).toUpperCase()}`;
}

/** The same, with the marks fainter than the text. */
export function TokenText({ text }: { readonly text: string }): ComponentChildren {
  if (text === "") return <span class="mark">∅</span>;
  const parts: ComponentChildren[] = [];
  let from = 0;
  for (const match of text.matchAll(SPECIAL)) {
    if (match.index > from) parts.push(text.slice(from, match.index));
    const hex = !(match[0] in NAMES);
    parts.push(<span class={hex ? "mark hex" : "mark"}>{substitute(match[0])}</span>);
    from = match.index + match[0].length;
  }
  if (from < text.length) parts.push(text.slice(from));
  return parts;
}
