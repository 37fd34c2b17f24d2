import type { RowSelection } from "../../core/row-selection.ts";
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

/** `phase=generated,last=4,positions=0-9+12`. */
export function parseSelect(text: string): RowSelection {
  const form = `write ${PHASES.map((phase) => `phase=${phase}`).join(" or ")}, last=4, positions=0-9+12, joined by commas`;
  const given = new Map<string, string>();
  for (const part of text.split(",")) {
    const [, key, value] = /^\s*(\w+)=(.+?)\s*$/.exec(part) ?? [];
    if (key === undefined || value === undefined) throw new UsageError(`"${part}" selects nothing; ${form}`);
    if (!["phase", "last", "positions"].includes(key))
      throw new UsageError(`unknown selection "${key}"; ${form}`);
    if (given.has(key)) throw new UsageError(`${key} is given twice; join positions with +, as in 0-9+12`);
    given.set(key, value);
  }
  const phase = given.get("phase");
  if (phase !== undefined && !PHASES.includes(phase as Phase))
    throw new UsageError(`unknown phase "${phase}"; the phases are ${PHASES.join(", ")}`);
  const last = given.get("last");
  const positions = given.get("positions");
  return {
    ...(phase !== undefined && { phase: phase as Phase }),
    ...(last !== undefined && { last: parseWhole(1)(last) }),
    ...(positions !== undefined && { positions: parsePositions(positions) }),
  };
}

function parsePositions(text: string): number[] {
  return text
    .split("+")
    .flatMap((part) =>
      /^\d+$/.test(part) ? [parseWhole(0)(part)] : range(part, "positions are written 0-9+12"),
    );
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
