/** What the text after a flag is. */
type FlagType =
  | { readonly is: "switch" }
  | { readonly is: "text" }
  | { readonly is: "whole"; readonly least: number; readonly most?: number }
  | { readonly is: "choice"; readonly among: readonly string[] }
  /** @throws RequestError saying how it is written. */
  | { readonly is: "parsed"; readonly parse: (text: string) => unknown };

/** An option of the command line. Engines that know the same one share the object. */
export interface Flag<Name extends string = string> {
  /** In camelCase. `flashAttention` is written `--flash-attention`. */
  readonly name: Name;
  /** What is written after it, for the help: `<n>`. Absent for a switch. */
  readonly placeholder?: string;
  readonly type: FlagType;
  readonly help: string;
  /** A switch that turns something off: `--no-flash-attention`. */
  readonly off?: true;
  readonly repeats?: true;
  /** Values depend on it, and a capture folder says it: a run that is continued has it from there. */
  readonly stored?: true;
}

/** As it is written: `--context`, `--no-normalize`. */
export const writtenFlag = ({ name, off }: Pick<Flag, "name" | "off">): string =>
  `--${off ? "no-" : ""}${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;

/** A flag of an engine, and what it is among the options of `load`. */
export interface OptionFlag<Options extends object> {
  readonly flag: Flag;
  /** @param value as it was parsed; `false` for a switch that turns off; a list for one that repeats. */
  sets(value: unknown): Partial<Options>;
}

/** {@link OptionFlag} with its value's type. */
export const sets = <Options extends object, Value>(
  flag: Flag,
  option: (value: Value) => Partial<Options>,
): OptionFlag<Options> => ({ flag, sets: (value) => option(value as Value) });
