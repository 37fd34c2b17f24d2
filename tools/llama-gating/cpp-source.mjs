/** Reads C++ as far as llama.cpp's model files need it: comments, brackets, arguments, definitions. */

/** The text with comments and the insides of strings blanked out; every character stays at its place. */
export function withoutComments(text) {
  return text.replace(/\/\/[^\n]*|\/\*[\s\S]*?\*\/|"(?:\\.|[^"\\\n])*"/g, (found) =>
    found.startsWith('"') ? `"${" ".repeat(found.length - 2)}"` : found.replace(/[^\n]/g, " "),
  );
}

const CLOSING = { "(": ")", "{": "}", "[": "]" };

/** Index of the bracket that closes the one at `open`. */
function closingOf(text, open) {
  const [from, to] = [text[open], CLOSING[text[open]]];
  let depth = 0;
  for (let i = open; i < text.length; i++) {
    if (text[i] === from) depth++;
    else if (text[i] === to && --depth === 0) return i;
  }
  throw new Error(`a ${from} is never closed`);
}

export const oneLine = (text) => text.replace(/\s+/g, " ").trim();

/** What stands between the brackets from `open` on, split at the commas of the outermost level. */
export function argumentsAt(text, open) {
  const end = closingOf(text, open);
  const parts = [];
  let depth = 0;
  let from = open + 1;
  for (let i = open + 1; i < end; i++) {
    if ("({[".includes(text[i])) depth++;
    else if (")}]".includes(text[i])) depth--;
    else if (text[i] === "," && depth === 0) {
      parts.push(oneLine(text.slice(from, i)));
      from = i + 1;
    }
  }
  return [...parts, oneLine(text.slice(from, end))];
}

export const lineOf = (text, index) => text.slice(0, index).split("\n").length;

/** Begins a definition outside of all functions: `type Class::Nested<x>::name(`. */
const DEFINITION = /^(?=[^\s#/}])(?:[^;{}=()]*?\s)?((?:\w+(?:<[^>()]*>)?::)+)(~?\w+)\s*\(/gm;

/**
 * The functions that a file defines for its classes.
 *
 * @returns {{ owner: string, name: string, from: number, to: number }[]} `owner`: the classes without template
 * arguments, e.g. `llama_model_lfm2::graph`; `from`, `to`: where the body is, initialisers of a constructor included.
 */
export function definitions(text) {
  const found = [];
  for (const match of text.matchAll(DEFINITION)) {
    const parameters = match.index + match[0].length - 1;
    const end = closingOf(text, parameters);
    const brace = text.indexOf("{", end);
    const semicolon = text.indexOf(";", end);
    if (brace < 0 || (semicolon >= 0 && semicolon < brace)) continue;
    const owner = match[1].replace(/<[^>]*>/g, "").replace(/::$/, "");
    found.push({ owner, name: match[2], from: brace, to: closingOf(text, brace) + 1 });
  }
  return found;
}

/** The structs of a header, nested ones as `Outer::Inner`. */
export function structs(text, outer = "") {
  const found = [];
  for (let at = 0; ; ) {
    const match = /\bstruct (\w+)(?:\s*:\s*public ([\w:]+))?\s*\{/g;
    match.lastIndex = at;
    const head = match.exec(text);
    if (!head) return found;
    const open = head.index + head[0].length - 1;
    const close = closingOf(text, open);
    const body = text.slice(open + 1, close);
    const name = outer + head[1];
    const aliases = [...body.matchAll(/using (\w+) = ([\w:]+?)(?:<\w+>)?;/g)].map((m) => [m[1], m[2]]);
    found.push({ name, base: head[2] ?? null, aliases: Object.fromEntries(aliases) });
    found.push(...structs(body, `${name}::`));
    at = close;
  }
}
