import { TemplateSyntaxError } from "../errors.ts";
import type { Token, TokenType } from "./lexer.ts";

/** The tokens of a template as a parser takes them. */
export class TokenStream {
  readonly #tokens: readonly Token[];
  #index = 0;

  constructor(tokens: readonly Token[]) {
    this.#tokens = tokens;
  }

  get current(): Token {
    return this.#tokens[this.#index]!;
  }

  get following(): Token {
    return this.#tokens[this.#index + 1] ?? this.current;
  }

  next(): Token {
    const token = this.current;
    if (token.type !== "eof") this.#index++;
    return token;
  }

  is(type: TokenType, value?: string): boolean {
    return this.current.type === type && (value === undefined || this.current.value === value);
  }

  isOperator(value: string): boolean {
    return this.is("operator", value);
  }

  isName(value: string): boolean {
    return this.is("name", value);
  }

  skipOperator(value: string): boolean {
    return this.isOperator(value) && this.next() !== null;
  }

  skipName(value: string): boolean {
    return this.isName(value) && this.next() !== null;
  }

  expect(type: TokenType, value?: string): Token {
    if (this.is(type, value)) return this.next();
    return this.fail(`expected ${value ?? NAMES[type]}, got ${describe(this.current)}`);
  }

  fail(message: string, line = this.current.line): never {
    throw new TemplateSyntaxError(message, line);
  }
}

const NAMES: Readonly<Record<TokenType, string>> = {
  data: "text",
  variable_begin: "{{",
  variable_end: "}}",
  block_begin: "{%",
  block_end: "%}",
  name: "a name",
  string: "a string",
  integer: "a whole number",
  float: "a number",
  operator: "an operator",
  eof: "the end of the template",
};

export const describe = ({ type, value }: Token): string =>
  ["name", "operator", "integer", "float"].includes(type) ? `"${value}"` : NAMES[type];
