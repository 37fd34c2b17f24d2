import { fail } from "./errors.ts";
import { evaluate } from "./evaluate.ts";
import { Scope } from "./scope.ts";
import type { Body, Signature } from "./syntax/ast.ts";
import { Callable, Dict, type Kwargs, Tuple, Undefined, type Value } from "./values.ts";

/** Names that a macro gets only where it uses them. */
const SPECIAL = ["caller", "kwargs", "varargs"] as const;

/**
 * A macro, or the body of a `{% call %}`.
 *
 * @param around where it was defined: it sees those names, and not those of who calls it.
 */
export function makeMacro(
  name: string,
  { parameters, body }: Signature & { readonly body: Body },
  around: Scope,
  render: (body: Body, scope: Scope) => string,
): Callable {
  const names = parameters.map((parameter) => parameter.name);
  const used = new Set(SPECIAL.filter((each) => !names.includes(each) && mentions(body, each)));
  return new Callable(name, (args, kwargs) => {
    const scope = new Scope(around);
    bindArguments(scope, args, kwargs);
    return render(body, scope);
  });

  function bindArguments(scope: Scope, args: readonly Value[], given: Kwargs): void {
    const kwargs = new Map(given);
    const missing: (typeof parameters)[number][] = [];
    for (const [i, parameter] of parameters.entries()) {
      const value = i < args.length ? args[i] : kwargs.get(parameter.name);
      if (i >= args.length) kwargs.delete(parameter.name);
      if (value !== undefined) scope.set(parameter.name, value);
      else {
        // Not a name of somewhere around that is the same by chance.
        scope.set(parameter.name, new Undefined(`parameter '${parameter.name}' was not provided`));
        missing.push(parameter);
      }
    }
    if (used.has("caller")) {
      scope.set("caller", kwargs.get("caller") ?? new Undefined("No caller defined"));
      kwargs.delete("caller");
    }
    if (used.has("kwargs")) scope.set("kwargs", new Dict(kwargs));
    else if (kwargs.size > 0) fail(`macro '${name}' takes no keyword argument '${[...kwargs.keys()][0]}'`);
    if (used.has("varargs")) scope.set("varargs", new Tuple(args.slice(parameters.length)));
    else if (args.length > parameters.length)
      fail(`macro '${name}' takes not more than ${parameters.length} argument(s)`);
    for (const { name: parameter, fallback } of missing)
      if (fallback !== null) scope.set(parameter, evaluate(fallback, scope));
  }
}

/** Whether a part of a template reads a name. */
function mentions(node: unknown, name: string): boolean {
  if (Array.isArray(node)) return node.some((each) => mentions(each, name));
  if (typeof node !== "object" || node === null) return false;
  const { kind, name: own } = node as { kind?: string; name?: string };
  return (kind === "name" && own === name) || Object.values(node).some((each) => mentions(each, name));
}
