import { fail } from "../errors.ts";
import { bind, int, text } from "../signature.ts";
import { SPACE, splitLines, strip } from "../syntax/whitespace.ts";
import { iterate, type Kwargs, points, Tuple, textOf, typeName, type Value } from "../values.ts";
import { braceFormat } from "./brace-format.ts";
import { center, pad } from "./number-format.ts";

type Method = (self: string, args: readonly Value[], kwargs: Kwargs) => Value;

const SPACES = new RegExp(`${SPACE}+`, "g");

const join = (characters: string | readonly string[]) =>
  typeof characters === "string" ? characters : characters.join("");

/** A method that takes positional arguments only, as most of Python's do. */
const plain =
  (name: string, most: number, method: (self: string, ...args: Value[]) => Value): Method =>
  (self, args, kwargs) => {
    if (kwargs.size > 0) return fail(`str.${name}() takes no keyword arguments`);
    if (args.length > most) return fail(`str.${name}() takes at most ${most} arguments`);
    return method(self, ...args);
  };

const property = (name: string, pattern: RegExp) => plain(name, 0, (self) => pattern.test(self));

/** The part between two positions of code points, and how many come before it. */
function window(self: string, start: Value | undefined, end: Value | undefined): readonly [string, number] {
  if ((start ?? null) === null && (end ?? null) === null) return [self, 0];
  const all = points(self);
  const [from, to] = bounds(all.length, start ?? null, end ?? null);
  return [join(all.slice(from, to)), from];
}

function bounds(length: number, start: Value, end: Value): readonly [number, number] {
  const at = (value: Value, fallback: number) => {
    if (value === null) return fallback;
    const index = int(value);
    return Math.min(length, Math.max(0, index < 0 ? index + length : index));
  };
  const from = at(start, 0);
  return [from, Math.max(from, at(end, length))];
}

function find(
  self: string,
  part: Value | undefined,
  start: Value | undefined,
  end: Value | undefined,
  last: boolean,
): number {
  const [inside, before] = window(self, start, end);
  const needle = text(part);
  const index = last ? inside.lastIndexOf(needle) : inside.indexOf(needle);
  return index < 0 ? -1 : before + points(inside.slice(0, index)).length;
}

function affix(
  self: string,
  args: readonly Value[],
  test: (text: string, affix: string) => boolean,
): boolean {
  const [inside] = window(self, args[1], args[2]);
  const options = args[0] instanceof Tuple ? args[0].items : [args[0]];
  return options.some((option) => test(inside, text(option)));
}

function split(self: string, args: readonly Value[], kwargs: Kwargs, fromRight: boolean): string[] {
  const { sep = null, maxsplit } = bind("split", ["sep", "maxsplit"], args, kwargs);
  const most = int(maxsplit, -1);
  if (sep === null) return splitSpaces(self, most < 0 ? Infinity : most, fromRight);
  const separator = text(sep);
  if (separator === "") return fail("empty separator");
  const parts = self.split(separator);
  if (most < 0 || parts.length <= most + 1) return parts;
  return fromRight
    ? [parts.slice(0, parts.length - most).join(separator), ...parts.slice(parts.length - most)]
    : [...parts.slice(0, most), parts.slice(most).join(separator)];
}

/** Space around the text belongs to no piece, but to one that is all that is left. */
function splitSpaces(self: string, most: number, fromRight: boolean): string[] {
  const trimmed = strip(self, null, { left: !fromRight, right: fromRight });
  const gaps = [...trimmed.matchAll(SPACES)];
  if (fromRight) gaps.reverse();
  const pieces: string[] = [];
  let [from, to] = [0, trimmed.length];
  for (const { index, 0: gap } of gaps.slice(0, most)) {
    const end = index + gap.length;
    pieces.push(fromRight ? trimmed.slice(end, to) : trimmed.slice(from, index));
    if (fromRight) to = index;
    else from = end;
  }
  if (from < to) pieces.push(trimmed.slice(from, to));
  return fromRight ? pieces.reverse() : pieces;
}

function partition(self: string, separator: string, index: number): Tuple {
  if (separator === "") return fail("empty separator");
  return new Tuple([self.slice(0, index), separator, self.slice(index + separator.length)]);
}

const LETTER = /\p{L}/u;
const CASED = /[\p{Lu}\p{Ll}\p{Lt}]/u;

/** Python's `str.title()`: a capital after everything that is no letter. */
function title(self: string): string {
  let before = false;
  return [...self]
    .map((character) => {
      const letter = CASED.test(character);
      const written = !letter ? character : before ? character.toLowerCase() : titleCase(character);
      before = letter || (LETTER.test(character) && before);
      return written;
    })
    .join("");
}

export function capitalize(self: string): string {
  const [first = "", ...rest] = points(self);
  return titleCase(first) + rest.join("").toLowerCase();
}

/** A letter at the start of a word: of several capitals only the first is one. */
function titleCase(character: string): string {
  const [first = "", ...rest] = character.toUpperCase();
  return first + rest.join("").toLowerCase();
}

/** Whether there are cased letters, all of one case. */
const cased = (self: string, wanted: string) => CASED.test(self) && self === wanted;

export function replace(self: string, old: string, fresh: string, count: number): string {
  if (old === "") {
    // Between all characters, and around them.
    const characters = points(self);
    const last = count < 0 ? characters.length : count - 1;
    const before = (i: number) => (i <= last ? fresh : "");
    return (
      Array.from(characters, (character, i) => before(i) + character).join("") + before(characters.length)
    );
  }
  if (count < 0) return self.replaceAll(old, () => fresh);
  let left = count;
  return self.replaceAll(old, (found) => (left-- > 0 ? fresh : found));
}

function expandTabs(self: string, size: number): string {
  let column = 0;
  return [...self]
    .map((character) => {
      if (character === "\n" || character === "\r") column = 0;
      else if (character === "\t") {
        const width = size > 0 ? size - (column % size) : 0;
        column += width;
        return " ".repeat(width);
      } else column++;
      return character;
    })
    .join("");
}

const stripper = (name: string, sides: { left: boolean; right: boolean }) =>
  plain(name, 1, (self, chars = null) => strip(self, chars === null ? null : text(chars), sides));

const padded = (name: string, align: string) =>
  plain(name, 2, (self, width, fill) => pad(self, int(width), align, text(fill, " ")));

/** Python's methods of `str`. @param lookup see {@link braceFormat}. */
export function stringMethods(lookup: (value: Value, path: string) => Value): ReadonlyMap<string, Method> {
  const methods: Record<string, Method> = {
    capitalize: plain("capitalize", 0, capitalize),
    casefold: plain("casefold", 0, (self) => self.toLowerCase().replaceAll("ß", "ss")),
    center: plain("center", 2, (self, width, fill) => center(self, int(width), text(fill, " "))),
    count: plain("count", 3, (self, part, start, end) => {
      const [inside] = window(self, start, end);
      const needle = text(part);
      return BigInt(needle === "" ? points(inside).length + 1 : inside.split(needle).length - 1);
    }),
    endswith: plain("endswith", 3, (self, ...args) => affix(self, args, (a, b) => a.endsWith(b))),
    expandtabs: (self, args, kwargs) =>
      expandTabs(self, int(bind("expandtabs", ["tabsize"], args, kwargs).tabsize, 8)),
    find: plain("find", 3, (self, part, start, end) => BigInt(find(self, part, start, end, false))),
    format: (self, args, kwargs) => braceFormat(self, args, kwargs, lookup),
    index: plain("index", 3, (self, part, start, end) => found(find(self, part, start, end, false))),
    isalnum: property("isalnum", /^[\p{L}\p{Nd}\p{Nl}\p{No}]+$/u),
    isalpha: property("isalpha", /^\p{L}+$/u),
    // biome-ignore lint/suspicious/noControlCharactersInRegex: all of ASCII
    isascii: property("isascii", /^[\x00-\x7f]*$/),
    isdecimal: property("isdecimal", /^\p{Nd}+$/u),
    isdigit: property("isdigit", /^[\p{Nd}²³¹⁰⁴-⁹₀-₉]+$/u),
    islower: plain("islower", 0, (self) => cased(self, self.toLowerCase())),
    isnumeric: property("isnumeric", /^[\p{Nd}\p{Nl}\p{No}]+$/u),
    isspace: property("isspace", new RegExp(`^${SPACE}+$`)),
    istitle: plain("istitle", 0, (self) => cased(self, title(self))),
    isupper: plain("isupper", 0, (self) => cased(self, self.toUpperCase())),
    join: plain("join", 1, (self, values) =>
      Array.from(
        iterate(values ?? fail("str.join() needs an argument")),
        (value, i) =>
          textOf(value) ?? fail(`sequence item ${i}: expected str instance, ${typeName(value)} found`),
      ).join(self),
    ),
    ljust: padded("ljust", "<"),
    lower: plain("lower", 0, (self) => self.toLowerCase()),
    lstrip: stripper("lstrip", { left: true, right: false }),
    partition: plain("partition", 1, (self, separator) => {
      const index = self.indexOf(text(separator));
      return index < 0 ? new Tuple([self, "", ""]) : partition(self, text(separator), index);
    }),
    removeprefix: plain("removeprefix", 1, (self, prefix) =>
      self.startsWith(text(prefix)) ? self.slice(text(prefix).length) : self,
    ),
    removesuffix: plain("removesuffix", 1, (self, suffix) =>
      text(suffix) !== "" && self.endsWith(text(suffix)) ? self.slice(0, -text(suffix).length) : self,
    ),
    replace: (self, args, kwargs) => {
      const { old, new: fresh, count } = bind("replace", ["old", "new", "count"], args, kwargs);
      return replace(self, text(old), text(fresh), int(count, -1));
    },
    rfind: plain("rfind", 3, (self, part, start, end) => BigInt(find(self, part, start, end, true))),
    rindex: plain("rindex", 3, (self, part, start, end) => found(find(self, part, start, end, true))),
    rjust: padded("rjust", ">"),
    rpartition: plain("rpartition", 1, (self, separator) => {
      const index = self.lastIndexOf(text(separator));
      return index < 0 ? new Tuple(["", "", self]) : partition(self, text(separator), index);
    }),
    rsplit: (self, args, kwargs) => split(self, args, kwargs, true),
    rstrip: stripper("rstrip", { left: false, right: true }),
    split: (self, args, kwargs) => split(self, args, kwargs, false),
    splitlines: (self, args, kwargs) =>
      splitLines(self, bind("splitlines", ["keepends"], args, kwargs).keepends === true),
    startswith: plain("startswith", 3, (self, ...args) => affix(self, args, (a, b) => a.startsWith(b))),
    strip: stripper("strip", { left: true, right: true }),
    swapcase: plain("swapcase", 0, (self) =>
      [...self].map((c) => (c === c.toUpperCase() ? c.toLowerCase() : c.toUpperCase())).join(""),
    ),
    title: plain("title", 0, title),
    upper: plain("upper", 0, (self) => self.toUpperCase()),
    zfill: plain("zfill", 1, (self, width) => {
      const sign = /^[+-]/.exec(self)?.[0] ?? "";
      return sign + pad(self.slice(sign.length), int(width) - sign.length, ">", "0");
    }),
  };
  return new Map(Object.entries(methods));
}

/** Methods that Python's `str` has and templates do not use. */
export const OTHER_STRING_METHODS: ReadonlySet<string> = new Set(
  "encode format_map isidentifier isprintable maketrans translate".split(" "),
);

const found = (index: number): bigint => (index < 0 ? fail("substring not found") : BigInt(index));
