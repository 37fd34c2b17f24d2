import type { Kwargs, Value } from "../values.ts";

/** `value | name(args)`. */
export type Filter = (value: Value, args: readonly Value[], kwargs: Kwargs) => Value;

export const add = (filters: readonly (readonly [string, Filter])[]): ReadonlyMap<string, Filter> =>
  new Map(filters);

/** What Jinja has and this implementation does not: it would write random text, or HTML. */
export const OTHER_FILTERS: ReadonlySet<string> = new Set(
  "filesizeformat pprint random striptags urlize wordwrap xmlattr".split(" "),
);
