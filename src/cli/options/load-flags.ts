import { type Command, Option } from "commander";
import { chooseEngine, engineNames, ownerOf } from "../../engines/choose.ts";
import type { EngineEntry } from "../../engines/entry.ts";
import { type Flag, writtenFlag } from "../../engines/flag.ts";
import type { LoadOptions } from "../../engines/index.ts";
import { UsageError } from "../usage-error.ts";
import { append, appended, value } from "./option-parser.ts";
import { parseWhole } from "./option-values.ts";

/** The options of commands that load a model, parsed: `engine`, and those of the engines by their names. */
export interface LoadFlags {
  readonly engine?: string;
  readonly [flag: string]: unknown;
}

/** Every flag that an engine knows, each once. */
export function engineFlags(engines: readonly EngineEntry[]): Flag[] {
  const flags = new Map<string, Flag>();
  for (const { flag } of engines.flatMap((entry) => entry.flags)) {
    const other = flags.get(flag.name) ?? flag;
    if (other !== flag) throw new Error(`two engines mean something else by ${writtenFlag(flag)}`);
    flags.set(flag.name, flag);
  }
  return [...flags.values()];
}

/** How a model is loaded, for commands that run one: `--engine`, and what the engines have. */
export function modelOptions(command: Command, engines: readonly EngineEntry[]): Command {
  const names = engineNames(engines);
  command.addOption(
    new Option("--engine <name>", `what runs the model (default: ${names[0]})`).choices(names),
  );
  for (const flag of engineFlags(engines)) command.addOption(optionOf(flag));
  return command;
}

/** A flag as commander knows it. */
export function optionOf(flag: Flag): Option {
  const { placeholder, type, help, repeats } = flag;
  const option = new Option(`${writtenFlag(flag)}${placeholder ? ` ${placeholder}` : ""}`, help);
  if (type.is === "choice") option.choices(type.among);
  if (type.is === "whole") option.argParser(parser(parseWhole(type.least, type.most), repeats));
  if (type.is === "parsed") option.argParser(parser(type.parse, repeats));
  if (type.is === "text" && repeats) option.argParser(append);
  return option;
}

function parser(parse: (text: string) => unknown, repeats?: boolean) {
  return (repeats ? appended(value(parse)) : value(parse)) as (text: string, before: unknown) => unknown;
}

/**
 * The options of `load` for a model.
 *
 * @param model decides with `--engine` which engine it is.
 * @throws UsageError for an option of another engine; RequestError for what the engine does not run.
 */
export function loadOptionsOf(flags: LoadFlags, model: string, engines: readonly EngineEntry[]): LoadOptions {
  const entry = chooseEngine(engines, model, flags.engine);
  const own = entry.flags.map(({ flag }) => flag.name);
  for (const flag of engineFlags(engines))
    if (isGiven(flag, flags) && !own.includes(flag.name)) throw notOf(entry, flag, model, engines);
  return { ...engineOf(entry, model, engines), ...optionsOf(entry, flags) } as LoadOptions;
}

/** What an engine's flags say, without those that others have. The first of two that set one option counts. */
export function optionsOf(
  { flags }: EngineEntry,
  given: LoadFlags,
  which: (flag: Flag) => boolean = () => true,
): object {
  const said = flags.filter(({ flag }) => isGiven(flag, given) && which(flag));
  return Object.assign({}, ...said.map(({ flag, sets }) => sets(givenValue(flag, given))).reverse());
}

/**
 * The options for one of several models, where an engine is asked for: what is another engine's own is run there, and
 * each engine gets the options that it knows.
 */
export function flagsOfItsEngine(
  flags: LoadFlags,
  model: string,
  engines: readonly EngineEntry[],
): LoadFlags {
  if (flags.engine === undefined) return flags;
  const entry = ownerOf(engines, model) ?? chooseEngine(engines, model, flags.engine);
  const own = entry.flags.map(({ flag }) => flag.name);
  const others = engineFlags(engines).filter(({ name }) => !own.includes(name));
  const kept = Object.entries(flags).filter(([key]) => !others.some(({ name }) => name === key));
  return { ...Object.fromEntries(kept), engine: entry.name };
}

/** Nothing, where it is the engine that runs such a model anyway. */
const engineOf = (entry: EngineEntry, model: string, engines: readonly EngineEntry[]): LoadFlags =>
  chooseEngine(engines, model) === entry ? {} : { engine: entry.name };

/** Commander gives switches that turn off a value when they are absent, too. */
const isGiven = (flag: Flag, given: LoadFlags) =>
  flag.off ? givenValue(flag, given) === false : givenValue(flag, given) !== undefined;

const givenValue = ({ name }: Flag, given: LoadFlags) => given[name];

function notOf(entry: EngineEntry, flag: Flag, model: string, engines: readonly EngineEntry[]): UsageError {
  const able = engines.find(
    (other) =>
      other.flags.some((known) => known.flag === flag) &&
      ["own", "possible"].includes(other.accepts(model) as string),
  );
  const advice = able ? `; add --engine ${able.name}` : "";
  return new UsageError(`${writtenFlag(flag)} means nothing to ${entry.title}${advice}`);
}
