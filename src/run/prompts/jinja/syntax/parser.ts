import { TemplateRuntimeError, UnsupportedConstruct } from "../errors.ts";
import type { Body, Expression, Signature, Statement } from "./ast.ts";
import { ExpressionParser } from "./expression-parser.ts";
import { tokenize } from "./lexer.ts";
import { TokenStream } from "./token-stream.ts";

/** Tags that read other templates: a chat template stands alone, and Python's Jinja has nowhere to read from either. */
const LOADS = new Set(["include", "import", "from", "extends"]);

/** @throws TemplateSyntaxError or UnsupportedConstruct naming the line. */
export function parse(template: string): Body {
  return new Parser(new TokenStream(tokenize(template))).template();
}

class Parser {
  readonly #tokens: TokenStream;
  readonly #expressions: ExpressionParser;

  constructor(tokens: TokenStream) {
    this.#tokens = tokens;
    this.#expressions = new ExpressionParser(tokens);
  }

  template(): Body {
    return this.#body([]);
  }

  /** Statements up to one of the tags, whose name is the current token then. */
  #body(ends: readonly string[]): Body {
    const tokens = this.#tokens;
    const body: Statement[] = [];
    for (;;) {
      const { type, value, line } = tokens.current;
      if (type === "eof") {
        if (ends.length > 0) tokens.fail(`the template ends before {% ${ends.join(" %} or {% ")} %}`);
        return body;
      }
      tokens.next();
      if (type === "data") body.push({ kind: "text", text: value, line });
      else if (type === "variable_begin") {
        body.push({ kind: "output", value: this.#expressions.tuple(), line });
        tokens.expect("variable_end");
      } else {
        if (ends.some((end) => tokens.isName(end))) return body;
        body.push(this.#statement());
        tokens.expect("block_end");
      }
    }
  }

  /** A tag's body, and the name of the tag that ended it. */
  #block(...ends: string[]): { readonly body: Body; readonly end: string } {
    this.#tokens.skipOperator(":");
    this.#tokens.expect("block_end");
    const body = this.#body(ends);
    return { body, end: this.#tokens.next().value };
  }

  #statement(): Statement {
    const tokens = this.#tokens;
    const { value: tag, line } = tokens.expect("name");
    switch (tag) {
      case "set":
        return this.#set(line);
      case "if":
        return this.#if(line);
      case "for":
        return this.#for(line);
      case "break":
      case "continue":
        return { kind: tag, line };
      case "macro": {
        const name = this.#expressions.targetName();
        const signature = this.#signature();
        return { kind: "macro", name, ...signature, body: this.#block("endmacro").body, line };
      }
      case "call":
        return this.#callBlock(line);
      case "filter": {
        const filter = this.#expressions.filters(null, true)!;
        return { kind: "filter block", filter, body: this.#block("endfilter").body, line };
      }
      case "with":
        return this.#with(line);
      case "generation":
        return { kind: "scope", body: this.#block("endgeneration").body, line };
      case "block": {
        const name = tokens.expect("name").value;
        tokens.skipName("scoped");
        const { body } = this.#block("endblock");
        tokens.skipName(name);
        return { kind: "scope", body, line };
      }
      case "autoescape":
        throw new UnsupportedConstruct("{% autoescape %}", line);
    }
    if (LOADS.has(tag))
      throw new TemplateRuntimeError(
        `{% ${tag} %} reads another template, and a chat template has none`,
        line,
      );
    return tokens.fail(`unknown tag {% ${tag} %}`, line);
  }

  #set(line: number): Statement {
    const target = this.#expressions.target({ namespaces: true });
    if (this.#tokens.skipOperator("="))
      return { kind: "set", target, value: this.#expressions.tuple(), line };
    const filter = this.#expressions.filters(null);
    return { kind: "set block", target, filter, body: this.#block("endset").body, line };
  }

  #if(line: number): Statement {
    const branches: { test: Expression; body: Body }[] = [];
    for (;;) {
      const test = this.#expressions.tuple({ conditional: false });
      const { body, end } = this.#block("elif", "else", "endif");
      branches.push({ test, body });
      if (end === "elif") continue;
      const otherwise = end === "else" ? this.#block("endif").body : [];
      return { kind: "if", branches, otherwise, line };
    }
  }

  #for(line: number): Statement {
    const target = this.#expressions.target({ ends: ["in"] });
    this.#tokens.expect("name", "in");
    const iterable = this.#expressions.tuple({ conditional: false, ends: ["recursive"] });
    const test = this.#tokens.skipName("if") ? this.#expressions.expression() : null;
    const recursive = this.#tokens.skipName("recursive");
    const { body, end } = this.#block("endfor", "else");
    const otherwise = end === "else" ? this.#block("endfor").body : [];
    return { kind: "for", target, iterable, test, recursive, body, otherwise, line };
  }

  #callBlock(line: number): Statement {
    const signature = this.#tokens.isOperator("(") ? this.#signature() : { parameters: [] };
    const call = this.#expressions.expression();
    if (call.kind !== "call") return this.#tokens.fail("expected a call of a macro", line);
    return { kind: "call block", ...signature, call, body: this.#block("endcall").body, line };
  }

  #with(line: number): Statement {
    const values = [];
    while (!this.#tokens.is("block_end")) {
      if (values.length > 0) this.#tokens.expect("operator", ",");
      const target = this.#expressions.target({ ends: ["="] });
      this.#tokens.expect("operator", "=");
      values.push([target, this.#expressions.expression()] as const);
    }
    return { kind: "with", values, body: this.#block("endwith").body, line };
  }

  #signature(): Signature {
    const tokens = this.#tokens;
    tokens.expect("operator", "(");
    const parameters: { name: string; fallback: Expression | null }[] = [];
    while (!tokens.isOperator(")")) {
      if (parameters.length > 0) tokens.expect("operator", ",");
      const name = this.#expressions.targetName();
      const fallback = tokens.skipOperator("=") ? this.#expressions.expression() : null;
      if (fallback === null && parameters.at(-1)?.fallback)
        tokens.fail(`the parameter ${name} needs a default, as the one before it has one`);
      parameters.push({ name, fallback });
    }
    tokens.expect("operator", ")");
    return { parameters };
  }
}
