import { fail, UnsupportedConstruct } from "../errors.ts";
import { Dict, textOf, typeName, type Value } from "../values.ts";
import { type Filter, OTHER_FILTERS } from "./filter.ts";
import { higherFilters } from "./higher-filters.ts";
import { PREDICATES, type Predicate } from "./predicates.ts";
import { SEQUENCE_FILTERS } from "./sequence-filters.ts";
import { TEXT_FILTERS } from "./text-filters.ts";

const HIGHER = higherFilters({ filter: findFilter, test: findTest });
const TABLES = [TEXT_FILTERS, SEQUENCE_FILTERS, HIGHER];

const isFilter = (name: string) => TABLES.some((table) => table.has(name)) || OTHER_FILTERS.has(name);
const isTest = (name: string) => PREDICATES.has(name) || NAMING.has(name);

const isName = (value: Value, isKnown: (name: string) => boolean) => {
  if (Array.isArray(value) || value instanceof Dict) return fail(`unhashable type: '${typeName(value)}'`);
  const name = textOf(value);
  return name !== undefined && isKnown(name);
};

/** Tests of names. */
const NAMING: ReadonlyMap<string, Predicate> = new Map<string, Predicate>([
  ["filter", (value) => isName(value, isFilter)],
  ["test", (value) => isName(value, isTest)],
]);

/** @throws UnsupportedConstruct for a filter of Jinja's that is not here; TemplateRuntimeError for one that Jinja has not. */
export function findFilter(name: string): Filter {
  for (const table of TABLES) {
    const filter = table.get(name);
    if (filter) return filter;
  }
  if (OTHER_FILTERS.has(name)) throw new UnsupportedConstruct(`the filter ${name}`);
  return fail(`No filter named '${name}'.`);
}

export function findTest(name: string): Predicate {
  return PREDICATES.get(name) ?? NAMING.get(name) ?? fail(`No test named '${name}'.`);
}
