import type { RowCondition, RowSelection, RowWindow } from "../../core/row-selection.ts";
import { PHASES, type Phase } from "../../core/rows.ts";
import { parseStreams, type StreamName } from "../../core/streams.ts";
import { parseJson } from "../../run/prompts/jinja/library/parse-json.ts";
import { UsageError } from "../usage-error.ts";

/** Longest range written as `a-b`. Every position is held in memory, and no capture runs with a longer context. */
const MAX_RANGE = 1 << 20;

/** `0,2-5,-1` as `[0, 2, 3, 4, 5, -1]`; a negative layer counts from the last. */
export function parseLayers(text: string): number[] {
  return text.split(",").flatMap((part) => {
    const single = /^\s*(-?\d+)\s*$/.exec(part);
    if (single) return [Number(single[1])];
    return range(part, "layers are written 0,2-5,-1");
  });
}

const wholeNumbers = (text: string) => parseNumbers(text, false);

/** What `--select` knows, with how each is read. */
const SELECTIONS: Readonly<Record<string, (text: string) => RowSelection>> = {
  phase: (text) => ({ phase: parsePhase(text) }),
  last: (text) => ({ last: parseWhole(1)(text) }),
  positions: (text) => ({ positions: parseNumbers(text, true) }),
  tokens: (text) => ({ tokenIds: wholeNumbers(text) }),
  window: (text) => ({ window: parseWindow(text) }),
  steps: (text) => ({ steps: wholeNumbers(text) }),
};

/**
 * `phase=generated,last=4,positions=0-9+12`. A position below 0 and the bounds of `window=-5:` count from the end of the
 * prompt; `!tokens=0+2` leaves out.
 */
export function parseSelect(text: string): RowSelection {
  const form =
    `write ${PHASES.map((phase) => `phase=${phase}`).join(" or ")}, last=4, positions=0-9+12, positions=-1, ` +
    "tokens=5+7, window=-5:, steps=0-3, joined by commas; ! before one leaves its rows out, as in !tokens=0";
  const given = new Set<string>();
  let select: RowSelection = {};
  const exclude: RowCondition[] = [];
  for (const part of text.split(",")) {
    const [, not, key, value] = /^\s*(!?)(\w+)=(.+?)\s*$/.exec(part) ?? [];
    if (key === undefined || value === undefined) throw new UsageError(`"${part}" selects nothing; ${form}`);
    const read = Object.hasOwn(SELECTIONS, key) ? SELECTIONS[key]! : null;
    if (!read || (not && key === "last")) throw new UsageError(`unknown selection "${not}${key}"; ${form}`);
    if (given.has(not + key))
      throw new UsageError(`${not}${key} is given twice; join positions with +, as in 0-9+12`);
    given.add(not + key);
    if (not) exclude.push(read(value));
    else select = { ...select, ...read(value) };
  }
  return { ...select, ...(exclude.length > 0 && { exclude }) };
}

function parsePhase(text: string): Phase {
  if (PHASES.includes(text as Phase)) return text as Phase;
  throw new UsageError(`unknown phase "${text}"; the phases are ${PHASES.join(", ")}`);
}

/** `0-9+12`, and with negative ones `-1+-2`. */
function parseNumbers(text: string, negative: boolean): number[] {
  return text.split("+").flatMap((part) => {
    if (negative && /^-\d+$/.test(part)) return [Number(part)];
    return /^\d+$/.test(part) ? [parseWhole(0)(part)] : range(part, "positions are written 0-9+12");
  });
}

/** `0:5`, `-5:`. */
function parseWindow(text: string): RowWindow {
  const [, start, end] = /^(-?\d+):(-?\d+)?$/.exec(text) ?? [];
  if (start === undefined)
    throw new UsageError(`"${text}" is no window; write it from:to or from:, as in 0:5 or -5:`);
  return [Number(start), end === undefined ? null : Number(end)];
}

export function parseStreamList(text: string): StreamName[] {
  return parseStreams(text.split(",").map((name) => name.trim()));
}

/** A JSON object. */
export function parseVariables(text: string): Record<string, unknown> {
  let value: unknown;
  try {
    value = parseJson(text);
  } catch {
    // Refused below.
  }
  if (typeof value === "object" && value !== null && !Array.isArray(value))
    return value as Record<string, unknown>;
  throw new UsageError(`${text} is no JSON object; write it as in '{"enable_thinking": false}'`);
}

/** `math,code`; a label may hold spaces, not commas. */
export function parseLabelPair(text: string): [a: string, b: string] {
  const labels = text.split(",").map((label) => label.trim());
  if (labels.length !== 2 || labels.includes(""))
    throw new UsageError(`"${text}" is not two labels; write them as in math,code`);
  return labels as [string, string];
}

/** A parser of whole numbers from `least` to `most`. */
export function parseWhole(least: number, most = 0x7fffffff): (text: string) => number {
  return (text) => {
    const value = /^\d+$/.test(text) ? Number(text) : Number.NaN;
    if (value >= least && value <= most) return value;
    throw new UsageError(
      most === 0x7fffffff
        ? `"${text}" is not a whole number from ${least}`
        : `"${text}" is not a whole number from ${least} to ${most}`,
    );
  };
}

/** A parser of numbers; the limits are named as the message shows them. */
export function parseNumber(limits: string, within: (value: number) => boolean): (text: string) => number {
  return (text) => {
    const value = text.trim() === "" ? Number.NaN : Number(text);
    if (Number.isFinite(value) && within(value)) return value;
    throw new UsageError(`"${text}" is not a number ${limits}`);
  };
}

const UNITS = { "": 1, K: 1e3, M: 1e6, G: 1e9, T: 1e12, KI: 2 ** 10, MI: 2 ** 20, GI: 2 ** 30, TI: 2 ** 40 };

/** `12GiB`, `8 GB`, `900MB`: bytes. */
export function parseBytes(text: string): number {
  const [, amount, unit = ""] = /^\s*(\d+(?:\.\d+)?)\s*([KMGT]i?)?B\s*$/i.exec(text) ?? [];
  const bytes = Number(amount) * UNITS[unit.toUpperCase() as keyof typeof UNITS];
  if (bytes >= 1) return Math.floor(bytes);
  throw new UsageError(`"${text}" is no amount of memory; write it as in 12GiB, 8GB or 900MB`);
}

function range(text: string, form: string): number[] {
  const [, first, last] = /^\s*(\d+)-(\d+)\s*$/.exec(text) ?? [];
  const from = Number(first);
  const to = Number(last);
  if (first === undefined || from > to) throw new UsageError(`"${text}" is no range; ${form}`);
  if (to - from >= MAX_RANGE) throw new UsageError(`the range ${text} is longer than ${MAX_RANGE}`);
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}
