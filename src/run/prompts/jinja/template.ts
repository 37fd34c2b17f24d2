import { step } from "./deadline.ts";
import { fail, JinjaError, TemplateRuntimeError } from "./errors.ts";
import { applyFilter, argumentsOf, callValue, evaluate } from "./evaluate.ts";
import { globals } from "./library/globals.ts";
import { str } from "./library/text.ts";
import { makeMacro } from "./macro.ts";
import { Loop, Namespace } from "./objects.ts";
import { Scope } from "./scope.ts";
import type { Body, Expression, Statement, Target } from "./syntax/ast.ts";
import { parse } from "./syntax/parser.ts";
import { fromJson, iterate, sizeOf, truthy, type Value } from "./values.ts";

/** What ends the turn of a loop early. */
type Signal = "break" | "continue" | null;

/**
 * A chat template: Jinja as transformers runs it (a sandbox that changes no values, `trim_blocks` and `lstrip_blocks`, the
 * loop controls, `{% generation %}`, `raise_exception`, `strftime_now`, and a `tojson` that escapes no HTML).
 *
 * @example
 * new Template("{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}").render({ messages });
 */
export class Template {
  readonly #body: Body;

  /** @throws TemplateSyntaxError or UnsupportedConstruct with the line. */
  constructor(source: string) {
    this.#body = parse(source);
  }

  /**
   * @param variables plain JSON.
   * @param now for `strftime_now`.
   * @throws JinjaError, of the class that tells who is to blame.
   */
  render(variables: Readonly<Record<string, unknown>>, now: () => Date = () => new Date()): string {
    const given = Object.entries(variables).filter(([, value]) => value !== undefined);
    const names = new Map([
      ...globals(now),
      ...given.map(([name, value]) => [name, fromJson(value)] as const),
    ]);
    try {
      return renderBody(this.#body, new Scope(names));
    } catch (error) {
      if (error instanceof RangeError)
        throw new TemplateRuntimeError("the template calls itself too deeply, or its text grows too long");
      throw error;
    }
  }
}

function renderBody(body: Body, scope: Scope): string {
  const out: string[] = [];
  run(body, scope, out);
  return out.join("");
}

function run(body: Body, scope: Scope, out: string[]): Signal {
  for (const statement of body) {
    step();
    try {
      const signal = execute(statement, scope, out);
      if (signal !== null) return signal;
    } catch (error) {
      if (error instanceof JinjaError) error.line ??= statement.line;
      throw error;
    }
  }
  return null;
}

function execute(statement: Statement, scope: Scope, out: string[]): Signal {
  switch (statement.kind) {
    case "text":
      out.push(statement.text);
      return null;
    case "output":
      out.push(str(evaluate(statement.value, scope)));
      return null;
    case "set":
      assign(statement.target, evaluate(statement.value, scope), scope);
      return null;
    case "set block": {
      const inner = new Scope(scope);
      const text = renderBody(statement.body, inner);
      assign(statement.target, statement.filter ? filtered(statement.filter, text, inner) : text, scope);
      return null;
    }
    case "if":
      for (const { test, body } of statement.branches)
        if (truthy(evaluate(test, scope))) return run(body, scope, out);
      return run(statement.otherwise, scope, out);
    case "for":
      return runLoop(statement, evaluate(statement.iterable, scope), 0, scope, out);
    case "break":
    case "continue":
      return statement.kind;
    case "macro":
      scope.set(statement.name, makeMacro(statement.name, statement, scope, renderBody));
      return null;
    case "call block": {
      const caller = makeMacro("caller", statement, scope, renderBody);
      const callee = evaluate(statement.call.callee, scope);
      const [args, kwargs] = argumentsOf(statement.call, scope);
      out.push(str(callValue(callee, args, kwargs.set("caller", caller))));
      return null;
    }
    case "filter block": {
      const inner = new Scope(scope);
      out.push(str(filtered(statement.filter, renderBody(statement.body, inner), inner)));
      return null;
    }
    case "with": {
      const inner = new Scope(scope);
      for (const [target, value] of statement.values) assign(target, evaluate(value, scope), inner);
      return run(statement.body, inner, out);
    }
    case "scope":
      return run(statement.body, new Scope(scope), out);
  }
}

/** A chain of filters whose innermost has no input yet. */
function filtered(filter: Expression, text: string, scope: Scope): Value {
  if (filter.kind !== "filter") return evaluate(filter, scope);
  const input = filter.input === null ? text : filtered(filter.input, text, scope);
  return applyFilter(filter, input, scope);
}

function assign(target: Target, value: Value, scope: Scope): void {
  if (target.kind === "name") scope.set(target.name, value);
  else if (target.kind === "namespace") {
    const namespace = scope.get(target.name);
    if (!(namespace instanceof Namespace)) fail("cannot assign attribute on non-namespace object");
    else namespace.set(target.attribute, value);
  } else {
    const values = [...iterate(value)];
    if (values.length !== target.items.length)
      fail(
        values.length > target.items.length
          ? `too many values to unpack (expected ${target.items.length})`
          : `not enough values to unpack (expected ${target.items.length}, got ${values.length})`,
      );
    for (const [i, each] of target.items.entries()) assign(each, values[i]!, scope);
  }
}

function runLoop(
  statement: Statement & { kind: "for" },
  iterable: Value,
  depth: number,
  scope: Scope,
  out: string[],
): Signal {
  const { target, test, body, otherwise, recursive } = statement;
  const items = test === null ? iterate(iterable) : filteredItems(iterate(iterable), target, test, scope);
  const recurse = (inner: Value, level: number): Value => {
    const text: string[] = [];
    runLoop(statement, inner, level, scope, text);
    return text.join("");
  };
  const loop = new Loop(
    items,
    test === null ? sizeOf(iterable) : undefined,
    depth,
    recursive ? recurse : null,
  );
  let turns = 0;
  for (let next = loop.next(); next !== null; next = loop.next(), turns++) {
    // What is set in a turn is gone with it.
    const inner = new Scope(scope);
    inner.set("loop", loop);
    assign(target, next.item, inner);
    if (run(body, inner, out) === "break") return null;
  }
  return turns === 0 ? run(otherwise, new Scope(scope), out) : null;
}

function* filteredItems(
  items: Iterable<Value>,
  target: Target,
  test: Expression,
  scope: Scope,
): Generator<Value> {
  for (const item of items) {
    const inner = new Scope(scope);
    assign(target, item, inner);
    if (truthy(evaluate(test, inner))) yield item;
  }
}
