/**
 * Text from models and prompts, made harmless for a person's eyes: what a terminal would obey, and what no page shows.
 */

/** Control and format characters, private use, lone surrogates, line separators: never shown as they are. */
const UNSAFE = /(?!\u200d)[\p{Cc}\p{Cf}\p{Co}\p{Cs}\p{Zl}\p{Zp}]/gu;

/**
 * Text without anything a terminal obeys: an escape sequence in a prompt or a model's output must not move the
 * cursor, change the title or reverse the line. Newlines become `↵`; other such characters show their code.
 */
export function safeText(text: string): string {
  return text.replace(UNSAFE, (char) => {
    if (char === "\n") return "↵";
    if (char === "\t") return "⇥";
    const code = char.codePointAt(0)!;
    return code < 0x100
      ? `<0x${code.toString(16).toUpperCase().padStart(2, "0")}>`
      : `<U+${code.toString(16).toUpperCase()}>`;
  });
}

/** A token as it is shown in a strip: {@link safeText} with its spaces visible. */
export function safeToken(text: string): string {
  const visible = safeText(text).replaceAll(" ", "·");
  // A combining mark would otherwise sit on the token before it.
  return /^\p{M}/u.test(visible) ? `◌${visible}` : visible;
}
