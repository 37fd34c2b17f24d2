import type { Arguments, BinaryOperator, CompareOperator, Expression, Target } from "./ast.ts";
import { describe, type TokenStream } from "./token-stream.ts";

const COMPARISONS = new Set(["==", "!=", "<", "<=", ">", ">="]);
const CONSTANTS: Readonly<Record<string, null | boolean>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
};

/** Jinja's expressions, from the loosest binding to the tightest: a method a level. */
export class ExpressionParser {
  readonly #tokens: TokenStream;

  constructor(tokens: TokenStream) {
    this.#tokens = tokens;
  }

  /** Expressions with commas between them are a tuple. @param ends names that end it, as `recursive` does in a loop. */
  tuple({ conditional = true, ends = [] as readonly string[], parentheses = false } = {}): Expression {
    const { line } = this.#tokens.current;
    const items: Expression[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) this.#tokens.expect("operator", ",");
      if (this.#atTupleEnd(ends)) break;
      items.push(conditional ? this.expression() : this.#or());
      if (!this.#tokens.isOperator(",")) break;
      isTuple = true;
    }
    if (!isTuple && items.length === 1) return items[0]!;
    if (!isTuple && !parentheses)
      return this.#tokens.fail(`expected an expression, got ${describe(this.#tokens.current)}`);
    return { kind: "tuple", items, line };
  }

  #atTupleEnd(ends: readonly string[]): boolean {
    const tokens = this.#tokens;
    return (
      tokens.is("variable_end") ||
      tokens.is("block_end") ||
      tokens.isOperator(")") ||
      ends.some((name) => tokens.isName(name))
    );
  }

  expression(): Expression {
    const { line } = this.#tokens.current;
    let value = this.#or();
    while (this.#tokens.skipName("if")) {
      const test = this.#or();
      const no = this.#tokens.skipName("else") ? this.expression() : null;
      value = { kind: "if", test, yes: value, no, line };
    }
    return value;
  }

  /** Without `x if y else z`, where an `if` means something else. */
  unconditional(): Expression {
    return this.#or();
  }

  #or(): Expression {
    let left = this.#and();
    while (this.#tokens.isName("or")) {
      const { line } = this.#tokens.next();
      left = { kind: "or", left, right: this.#and(), line };
    }
    return left;
  }

  #and(): Expression {
    let left = this.#not();
    while (this.#tokens.isName("and")) {
      const { line } = this.#tokens.next();
      left = { kind: "and", left, right: this.#not(), line };
    }
    return left;
  }

  #not(): Expression {
    if (!this.#tokens.isName("not")) return this.#compare();
    const { line } = this.#tokens.next();
    return { kind: "not", operand: this.#not(), line };
  }

  #compare(): Expression {
    const { line } = this.#tokens.current;
    const first = this.#sum();
    const rest: [CompareOperator, Expression][] = [];
    for (;;) {
      const { current, following } = this.#tokens;
      if (current.type === "operator" && COMPARISONS.has(current.value)) {
        this.#tokens.next();
        rest.push([current.value as CompareOperator, this.#sum()]);
      } else if (this.#tokens.skipName("in")) rest.push(["in", this.#sum()]);
      else if (this.#tokens.isName("not") && following.type === "name" && following.value === "in") {
        this.#tokens.next();
        this.#tokens.next();
        rest.push(["not in", this.#sum()]);
      } else return rest.length === 0 ? first : { kind: "compare", first, rest, line };
    }
  }

  #sum(): Expression {
    return this.#binary(["+", "-"], () => this.#concat());
  }

  #concat(): Expression {
    const { line } = this.#tokens.current;
    const items = [this.#product()];
    while (this.#tokens.skipOperator("~")) items.push(this.#product());
    return items.length === 1 ? items[0]! : { kind: "concat", items, line };
  }

  #product(): Expression {
    return this.#binary(["*", "/", "//", "%"], () => this.#power());
  }

  /** As Jinja has it: from left to right, and looser than a minus sign before it. */
  #power(): Expression {
    return this.#binary(["**"], () => this.unary());
  }

  #binary(operators: readonly BinaryOperator[], operand: () => Expression): Expression {
    let left = operand();
    for (;;) {
      const operator = operators.find((each) => this.#tokens.isOperator(each));
      if (operator === undefined) return left;
      const { line } = this.#tokens.next();
      left = { kind: "binary", operator, left, right: operand(), line };
    }
  }

  unary(withFilter = true): Expression {
    const { line } = this.#tokens.current;
    let value: Expression;
    if (this.#tokens.skipOperator("-")) value = { kind: "negative", operand: this.unary(false), line };
    else if (this.#tokens.skipOperator("+")) value = { kind: "positive", operand: this.unary(false), line };
    else value = this.#primary();
    value = this.#postfix(value);
    return withFilter ? this.#filtersAndTests(value) : value;
  }

  #primary(): Expression {
    const tokens = this.#tokens;
    const { type, value, line } = tokens.current;
    switch (type) {
      case "name":
        tokens.next();
        return Object.hasOwn(CONSTANTS, value)
          ? { kind: "literal", value: CONSTANTS[value]!, line }
          : { kind: "name", name: value, line };
      case "string": {
        let text = "";
        while (tokens.is("string")) text += tokens.next().value;
        return { kind: "literal", value: text, line };
      }
      case "integer":
        tokens.next();
        return { kind: "literal", value: BigInt(value.replaceAll("_", "")), line };
      case "float":
        tokens.next();
        return { kind: "literal", value: Number(value.replaceAll("_", "")), line };
    }
    if (tokens.skipOperator("(")) {
      const inner = this.tuple({ parentheses: true });
      tokens.expect("operator", ")");
      return inner;
    }
    if (tokens.skipOperator("["))
      return { kind: "list", items: this.#items("]", () => this.expression()), line };
    if (tokens.skipOperator("{")) {
      const pair = () => {
        const key = this.expression();
        tokens.expect("operator", ":");
        return [key, this.expression()] as const;
      };
      return { kind: "dict", items: this.#items("}", pair), line };
    }
    return tokens.fail(`unexpected ${describe(tokens.current)}`);
  }

  #items<T>(close: string, item: () => T): T[] {
    const items: T[] = [];
    while (!this.#tokens.isOperator(close)) {
      if (items.length > 0) this.#tokens.expect("operator", ",");
      if (this.#tokens.isOperator(close)) break;
      items.push(item());
    }
    this.#tokens.expect("operator", close);
    return items;
  }

  #postfix(value: Expression): Expression {
    for (;;) {
      const { line } = this.#tokens.current;
      if (this.#tokens.skipOperator(".")) value = this.#attribute(value, line);
      else if (this.#tokens.skipOperator("[")) value = this.#subscript(value, line);
      else if (this.#tokens.isOperator("("))
        value = { kind: "call", callee: value, ...this.arguments(), line };
      else return value;
    }
  }

  #attribute(object: Expression, line: number): Expression {
    const { type, value } = this.#tokens.next();
    if (type === "name") return { kind: "attribute", object, name: value, line };
    if (type !== "integer") return this.#tokens.fail("expected a name or a whole number after the dot", line);
    return { kind: "item", object, index: { kind: "literal", value: BigInt(value), line }, line };
  }

  #subscript(object: Expression, line: number): Expression {
    const tokens = this.#tokens;
    const atEnd = () => tokens.isOperator("]") || tokens.isOperator(",");
    const first = tokens.isOperator(":") ? null : this.expression();
    if (first !== null && !tokens.isOperator(":")) {
      const items = [first];
      while (tokens.skipOperator(",")) items.push(this.expression());
      tokens.expect("operator", "]");
      const index: Expression = items.length === 1 ? first : { kind: "tuple", items, line };
      return { kind: "item", object, index, line };
    }
    tokens.expect("operator", ":");
    const stop = atEnd() || tokens.isOperator(":") ? null : this.expression();
    const step = tokens.skipOperator(":") && !atEnd() ? this.expression() : null;
    tokens.expect("operator", "]");
    return { kind: "slice", object, start: first, stop, step, line };
  }

  #filtersAndTests(value: Expression): Expression {
    for (;;) {
      const { line } = this.#tokens.current;
      if (this.#tokens.isOperator("|")) value = this.filters(value)!;
      else if (this.#tokens.isName("is")) value = this.#test(value);
      else if (this.#tokens.isOperator("("))
        value = { kind: "call", callee: value, ...this.arguments(), line };
      else return value;
    }
  }

  /** `| a | b(1)`. @param inline whether the first filter has no bar, as in `{% filter upper %}`. */
  filters(input: Expression | null, inline = false): Expression | null {
    let value = input;
    let bare = inline;
    while (bare || this.#tokens.skipOperator("|")) {
      const { line } = this.#tokens.current;
      const name = this.#dottedName();
      const given = this.#tokens.isOperator("(") ? this.arguments() : NO_ARGUMENTS;
      value = { kind: "filter", name, input: value, ...given, line };
      bare = false;
    }
    return value;
  }

  #test(input: Expression): Expression {
    const tokens = this.#tokens;
    const { line } = tokens.next();
    const negated = tokens.skipName("not");
    const name = this.#dottedName();
    const test: Expression = { kind: "test", name, input, ...this.#testArguments(), line };
    return negated ? { kind: "not", operand: test, line } : test;
  }

  /** A test takes one argument without parentheses too: `x is divisibleby 3`. */
  #testArguments(): Arguments {
    const tokens = this.#tokens;
    if (tokens.isOperator("(")) return this.arguments();
    const begins =
      ["name", "string", "integer", "float"].includes(tokens.current.type) ||
      tokens.isOperator("[") ||
      tokens.isOperator("{");
    if (!begins || ["else", "or", "and"].some((word) => tokens.isName(word))) return NO_ARGUMENTS;
    if (tokens.isName("is")) return tokens.fail("tests cannot be chained with is");
    return { ...NO_ARGUMENTS, args: [this.#postfix(this.#primary())] };
  }

  #dottedName(): string {
    let name = this.#tokens.expect("name").value;
    while (this.#tokens.skipOperator(".")) name += `.${this.#tokens.expect("name").value}`;
    return name;
  }

  arguments(): Arguments {
    const tokens = this.#tokens;
    tokens.expect("operator", "(");
    const args: Expression[] = [];
    const kwargs: [string, Expression][] = [];
    let spread: Expression | null = null;
    let kwSpread: Expression | null = null;
    const ensure = (valid: boolean) => {
      if (!valid) tokens.fail("a call's arguments are in an order that is not allowed");
    };
    for (let first = true; !tokens.isOperator(")"); first = false) {
      if (!first) tokens.expect("operator", ",");
      if (tokens.isOperator(")")) break;
      const { current, following } = tokens;
      if (tokens.skipOperator("*")) {
        ensure(spread === null && kwSpread === null);
        spread = this.expression();
      } else if (tokens.skipOperator("**")) {
        ensure(kwSpread === null);
        kwSpread = this.expression();
      } else if (current.type === "name" && following.type === "operator" && following.value === "=") {
        ensure(kwSpread === null);
        tokens.next();
        tokens.next();
        kwargs.push([current.value, this.expression()]);
      } else {
        ensure(spread === null && kwSpread === null && kwargs.length === 0);
        args.push(this.expression());
      }
    }
    tokens.expect("operator", ")");
    return { args, kwargs, spread, kwSpread };
  }

  /** What is assigned to: a name, several, or an attribute of a namespace. */
  target({ ends = [] as readonly string[], namespaces = false } = {}): Target {
    const { line } = this.#tokens.current;
    const items: Target[] = [];
    let isTuple = false;
    for (;;) {
      if (items.length > 0) this.#tokens.expect("operator", ",");
      if (this.#atTupleEnd(ends)) break;
      items.push(this.#singleTarget(namespaces));
      if (!this.#tokens.isOperator(",")) break;
      isTuple = true;
    }
    if (items.length === 0) return this.#tokens.fail("expected a name to assign to");
    return isTuple ? { kind: "tuple", items, line } : items[0]!;
  }

  #singleTarget(namespaces: boolean): Target {
    const tokens = this.#tokens;
    const { line } = tokens.current;
    if (tokens.skipOperator("(")) {
      const inner = this.target({ namespaces });
      tokens.expect("operator", ")");
      return inner;
    }
    const name = this.targetName();
    if (namespaces && tokens.skipOperator("."))
      return { kind: "namespace", name, attribute: tokens.expect("name").value, line };
    return { kind: "name", name, line };
  }

  targetName(): string {
    const { value, line } = this.#tokens.expect("name");
    if (Object.hasOwn(CONSTANTS, value)) return this.#tokens.fail(`cannot assign to ${value}`, line);
    return value;
  }
}

const NO_ARGUMENTS: Arguments = { args: [], kwargs: [], spread: null, kwSpread: null };
