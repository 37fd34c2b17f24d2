/**
 * Classes of tokens by what their text looks like. Unicode properties decide (UAX #44), nothing else: the class says
 * nothing of the token's meaning, and a tokenizer may cut anywhere.
 */

/** Scripts that have a class of their own; letters of all others are `word: other`. */
const SCRIPTS = [
  "Latin",
  "Han",
  "Hiragana",
  "Katakana",
  "Hangul",
  "Cyrillic",
  "Greek",
  "Arabic",
  "Hebrew",
  "Devanagari",
  "Thai",
] as const;

const LETTERS = SCRIPTS.map(
  (script) => [`word: ${script}`, new RegExp(`^[\\p{Script=${script}}\\p{M}]+$`, "u")] as const,
);

/** As tokenizers write control tokens: `<s>`, `</s>`, `<|im_end|>`, `<bos>`, `<start_of_turn>`, `[INST]`, `<｜User｜>`. */
const CONTROL = /^(<[|｜]\S+[|｜]>|<\/?[a-z_]+>|\[\/?[A-Z_]+\])$/u;
const BYTES = /^(<0x[0-9A-F]{2}>)+$/;
const SPACE = /^\p{White_Space}+$/u;
const NUMBER = /^\p{N}+$/u;
const PUNCTUATION = /^\p{P}+$/u;
const SYMBOL = /^[\p{S}\p{P}]+$/u;
const WORD = /^[\p{L}\p{M}]+$/u;
const ENDS_IN_LETTER = /[\p{L}\p{M}]$/u;

/**
 * The class of a token:
 * - `control`: written like `<s>`, `<|im_end|>` or `[INST]`;
 * - `bytes`: part of a UTF-8 sequence;
 * - `newline`, `space`: nothing but white space, with a line feed or without;
 * - `number`, `punctuation`: nothing but that (Unicode N, P), a space before not counted; `symbol`: S, or S and P;
 * - `word: Latin`, `word: Han`, ...: letters of one script that begin a word; `word: other`: of another or of several;
 * - `continuation`: letters without a space before, after a token that ends in a letter of a script with spaces;
 * - `mixed`: anything else, e.g. `.append` or `x1`.
 *
 * @param text of the token.
 * @param before text of the token before it in the sample; empty where there is none.
 */
export function tokenClass(text: string, before: string): string {
  if (CONTROL.test(text)) return "control";
  if (BYTES.test(text)) return "bytes";
  if (SPACE.test(text) || text === "") return text.includes("\n") ? "newline" : "space";
  const bare = text.replace(/^\p{White_Space}+/u, "");
  if (NUMBER.test(bare)) return "number";
  if (PUNCTUATION.test(bare)) return "punctuation";
  if (SYMBOL.test(bare)) return "symbol";
  if (!WORD.test(bare)) return "mixed";
  const script = LETTERS.find(([, letters]) => letters.test(bare))?.[0] ?? "word: other";
  return bare === text && continuesWord(script, before) ? "continuation" : script;
}

/** Words of these scripts are not set apart by spaces, so letters that follow letters need not belong together. */
const UNSPACED = new Set(["word: Han", "word: Hiragana", "word: Katakana", "word: Thai"]);

const continuesWord = (script: string, before: string) =>
  !UNSPACED.has(script) && ENDS_IN_LETTER.test(before) && !CONTROL.test(before);
