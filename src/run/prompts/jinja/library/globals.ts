import { fail, TemplateRefusal, unsupported } from "../errors.ts";
import { makeCycler, makeDict, makeJoiner, makeNamespace } from "../objects.ts";
import { bind, int, text } from "../signature.ts";
import { Callable, Range, type Value } from "../values.ts";
import { strftime } from "./strftime.ts";
import { str } from "./text.ts";

/** The sandbox's bound for a range. */
const MAX_RANGE = 100_000;

function range(args: readonly Value[]): Range {
  const [first, second, third] = args.map((value) => BigInt(int(value)));
  if (first === undefined || args.length > 3) return fail("range takes one to three whole numbers");
  const made = second === undefined ? new Range(0n, first, 1n) : new Range(first, second, third ?? 1n);
  if (made.step === 0n) return fail("range() arg 3 must not be zero");
  if (made.length > MAX_RANGE) return fail(`a range of more than ${MAX_RANGE} items`);
  return made;
}

/** What every chat template can call. Source: Jinja's own, and transformers' for chat templates. */
export function globals(now: () => Date): ReadonlyMap<string, Value> {
  const functions: Record<string, Callable["call"]> = {
    range,
    dict: makeDict,
    namespace: makeNamespace,
    cycler: makeCycler,
    joiner: makeJoiner,
    lipsum: () => unsupported("lipsum, which is random"),
    raise_exception: (args, kwargs) => {
      const { message = null } = bind("raise_exception", ["message"], args, kwargs);
      throw new TemplateRefusal(str(message));
    },
    strftime_now: (args, kwargs) =>
      strftime(now(), text(bind("strftime_now", ["format"], args, kwargs).format)),
  };
  return new Map(Object.entries(functions).map(([name, call]) => [name, new Callable(name, call)]));
}
