import { TemplateSyntaxError } from "../errors.ts";
import { SPACE, strip } from "./whitespace.ts";

/** What a token is: template text, a tag's or expression's end, or a piece of the language. */
export type TokenType =
  | "data"
  | "variable_begin"
  | "variable_end"
  | "block_begin"
  | "block_end"
  | "name"
  | "string"
  | "integer"
  | "float"
  | "operator"
  | "eof";

export interface Token {
  readonly type: TokenType;
  /** The text; of a string what it stands for. */
  readonly value: string;
  readonly line: number;
}

const OPEN = new RegExp(
  `(\\{%[-+]?${SPACE}*raw${SPACE}*(?:-%\\}${SPACE}*|%\\}))|(\\{%|\\{\\{|\\{#)([-+]?)`,
  "g",
);
const END_RAW = new RegExp(`\\{%([-+]?)${SPACE}*endraw${SPACE}*(?:\\+%\\}|-%\\}${SPACE}*|%\\}\\n?)`, "g");
const END_COMMENT = new RegExp(`(?:\\+#\\}|-#\\}${SPACE}*|#\\}\\n?)`, "g");
const END_BLOCK = new RegExp(`\\+%\\}|-%\\}${SPACE}*|%\\}\\n?`, "y");
const END_VARIABLE = new RegExp(`-\\}\\}${SPACE}*|\\}\\}`, "y");
const WHITESPACE = new RegExp(`${SPACE}+`, "y");
const ONLY_WHITESPACE = new RegExp(`^${SPACE}+$`);
const FLOAT = /(?<!\.)(?:\d+_)*\d+(?:(?:\.(?:\d+_)*\d+)?e[+-]?(?:\d+_)*\d+|\.(?:\d+_)*\d+)/iy;
const INTEGER = /0b(?:_?[01])+|0o(?:_?[0-7])+|0x(?:_?[\da-f])+|[1-9](?:_?\d)*|0(?:_?0)*/iy;
const NAME = /[\p{L}\p{Nl}_][\p{L}\p{Nl}\p{Mn}\p{Mc}\p{Nd}\p{Pc}_]*/uy;
const STRING = /'(?:[^'\\]*(?:\\[\s\S][^'\\]*)*)'|"(?:[^"\\]*(?:\\[\s\S][^"\\]*)*)"/y;
const OPERATOR = /\/\/|\*\*|==|!=|>=|<=|[+\-/*%~[\](){}><=.:|,;]/y;
const CLOSES: Readonly<Record<string, string>> = { "(": ")", "[": "]", "{": "}" };

/**
 * Split a template into tokens, as Jinja does with `trim_blocks` and `lstrip_blocks` on and `keep_trailing_newline` off:
 * the settings that chat templates are written for.
 *
 * @throws TemplateSyntaxError
 */
export function tokenize(template: string): Token[] {
  const source = template.replace(/\r\n|\r/g, "\n").replace(/\n$/, "");
  const tokens: Token[] = [];
  let pos = 0;
  let line = 1;
  /** Whether what precedes `pos` ends a line, or is the beginning. */
  let lineStarting = true;

  const advance = (to: number) => {
    for (let i = source.indexOf("\n", pos); i !== -1 && i < to; i = source.indexOf("\n", i + 1)) line++;
    if (to > pos) lineStarting = source[to - 1] === "\n";
    pos = to;
  };
  const data = (text: string) => {
    if (text !== "") tokens.push({ type: "data", value: text, line });
  };
  /** Text before a tag, without the whitespace that the tag takes away. */
  const before = (text: string, sign: string, isVariable: boolean): string => {
    if (sign === "-") return strip(text, null, { left: false, right: true });
    if (sign === "+" || isVariable) return text;
    const start = text.lastIndexOf("\n") + 1;
    const alone = (start > 0 || lineStarting) && ONLY_WHITESPACE.test(text.slice(start));
    return alone ? text.slice(0, start) : text;
  };
  const find = (pattern: RegExp, missing: string): RegExpExecArray => {
    pattern.lastIndex = pos;
    const found = pattern.exec(source);
    if (!found) throw new TemplateSyntaxError(missing, line);
    return found;
  };

  while (pos < source.length) {
    OPEN.lastIndex = pos;
    const open = OPEN.exec(source);
    if (!open) {
      data(source.slice(pos));
      break;
    }
    const [whole, raw, kind, sign] = open;
    const text = source.slice(pos, open.index);
    if (raw !== undefined) {
      data(before(text, raw[2]!, false));
      advance(open.index + whole.length);
      const end = find(END_RAW, "the end of the raw block is missing");
      data(before(source.slice(pos, end.index), end[1]!, false));
      advance(end.index + end[0].length);
    } else if (kind === "{#") {
      data(before(text, sign!, false));
      advance(open.index + whole.length);
      const end = find(END_COMMENT, "the end of a comment is missing");
      advance(end.index + end[0].length);
    } else {
      const isVariable = kind === "{{";
      data(before(text, sign!, isVariable));
      advance(open.index + whole.length);
      tokens.push({ type: isVariable ? "variable_begin" : "block_begin", value: kind!, line });
      readTag(isVariable);
    }
  }
  tokens.push({ type: "eof", value: "", line });
  return tokens;

  function readTag(isVariable: boolean): void {
    const brackets: string[] = [];
    const end = isVariable ? END_VARIABLE : END_BLOCK;
    for (;;) {
      const closing = brackets.length === 0 ? match(end) : null;
      if (closing !== null) {
        tokens.push({ type: isVariable ? "variable_end" : "block_end", value: closing, line });
        advance(pos + closing.length);
        return;
      }
      const [type, value] = next();
      if (type === "operator") balance(brackets, value);
      if (type !== null) tokens.push({ type, value: type === "string" ? unquote(value, line) : value, line });
      advance(pos + value.length);
    }
  }

  function next(): readonly [TokenType | null, string] {
    const space = match(WHITESPACE);
    if (space !== null) return [null, space];
    for (const [type, pattern] of [
      ["float", FLOAT],
      ["integer", INTEGER],
      ["name", NAME],
      ["string", STRING],
      ["operator", OPERATOR],
    ] as const) {
      const found = match(pattern);
      if (found !== null) return [type, found];
    }
    if (pos >= source.length) throw new TemplateSyntaxError("the template ends within a tag", line);
    throw new TemplateSyntaxError(`unexpected character ${JSON.stringify(source[pos])}`, line);
  }

  function match(pattern: RegExp): string | null {
    pattern.lastIndex = pos;
    return pattern.exec(source)?.[0] ?? null;
  }

  function balance(brackets: string[], operator: string): void {
    if (operator in CLOSES) brackets.push(CLOSES[operator]!);
    else if (")]}".includes(operator) && brackets.pop() !== operator)
      throw new TemplateSyntaxError(`unexpected '${operator}'`, line);
  }
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\n": "",
  "\\": "\\",
  "'": "'",
  '"': '"',
  a: "\x07",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
};

/** The text of a string literal, with Python's escapes. */
function unquote(literal: string, line: number): string {
  return literal
    .slice(1, -1)
    .replace(
      /\\(?:x([\da-fA-F]{2})|u([\da-fA-F]{4})|U([\da-fA-F]{8})|([0-7]{1,3})|([\s\S]))/g,
      (whole, hex?: string, four?: string, eight?: string, octal?: string, other?: string) => {
        const code = hex ?? four ?? eight;
        if (code !== undefined) return character(Number.parseInt(code, 16), whole, line);
        if (octal !== undefined) return String.fromCodePoint(Number.parseInt(octal, 8));
        if (/[xuUN]/.test(other!))
          throw new TemplateSyntaxError(`${whole} is no whole escape in a string`, line);
        return ESCAPES[other!] ?? whole;
      },
    );
}

function character(code: number, written: string, line: number): string {
  if (code > 0x10ffff) throw new TemplateSyntaxError(`${written} is no character`, line);
  return String.fromCodePoint(code);
}
