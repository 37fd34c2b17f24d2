import { PHASES } from "../../core/rows.ts";
import type { RowColumns } from "./row-columns.ts";
import { tokenClass } from "./token-class.ts";

/** The rows of a capture in groups; each row is in one. */
export interface RowGroups {
  /** Only groups that have rows. */
  readonly names: readonly string[];
  /** Per row the index of its group. */
  readonly ofRow: Uint8Array;
}

/** By {@link tokenClass}, the class with most rows first. */
export function tokenClassGroups(
  { sample, position, tokenId, length }: RowColumns,
  tokenText: (tokenId: number) => string,
): RowGroups {
  // The class depends on the token and the one before; there are far fewer such pairs than rows.
  const seen = new Map<number, Map<number, string>>();
  const classOf = (token: number, before: number) => {
    const byBefore = seen.get(token) ?? new Map<number, string>();
    seen.set(token, byBefore);
    let name = byBefore.get(before);
    if (name === undefined) {
      name = tokenClass(tokenText(token), before < 0 ? "" : tokenText(before));
      byBefore.set(before, name);
    }
    return name;
  };
  const follows = (row: number) =>
    row > 0 && sample[row - 1] === sample[row] && position[row - 1] === position[row]! - 1;
  const names: string[] = [];
  const index = new Map<string, number>();
  const first = Uint8Array.from({ length }, (_, row) => {
    const name = classOf(tokenId[row]!, follows(row) ? tokenId[row - 1]! : -1);
    if (!index.has(name)) index.set(name, names.push(name) - 1);
    return index.get(name)!;
  });
  const rows = names.map(() => 0);
  for (const group of first) rows[group]!++;
  const order = names.map((_, group) => group).sort((a, b) => rows[b]! - rows[a]!);
  const place = new Uint8Array(names.length);
  order.forEach((group, at) => {
    place[group] = at;
  });
  return { names: order.map((group) => names[group]!), ofRow: first.map((group) => place[group]!) };
}

/** Index of a position's group: 0, 1-3, 4-15, 16-63, ... */
export const positionLevel = (position: number): number =>
  position === 0 ? 0 : 1 + Math.floor(Math.log2(position) / 2);

/**
 * By 0-based position in the sample: `0`, `1-3`, `4-15`, `16-63`, ... Position 0 is by itself, because a text's first
 * token draws attention and routing of its own; then each group reaches four times as far.
 */
export function positionGroups({ position }: RowColumns): RowGroups {
  const level = Uint8Array.from(position, positionLevel);
  const from = (group: number) => (group === 0 ? 0 : 4 ** (group - 1));
  return compact(level, (group) => (group === 0 ? "0" : `${from(group)}-${from(group + 1) - 1}`));
}

/** Positions at which rows are compared, so that a text's place does not pass for its label. */
export interface MatchedPositions {
  /** Per row the index of its positions; {@link NOT_MATCHED} where only one label has rows. */
  readonly ofRow: Uint8Array;
  readonly groups: number;
  /** Rows that are compared. */
  readonly rows: number;
}

export const NOT_MATCHED = 255;

/**
 * Labelled rows by position: one by one up to 15, then four groups until the position has doubled. How a text's first
 * tokens are routed changes from one to the next, and its thousandth token is much like the one after.
 *
 * @param labelOfSample -1: no label.
 */
export function matchedPositions(
  { position, sample }: RowColumns,
  labelOfSample: Int32Array,
  labels: number,
): MatchedPositions {
  const level = Uint8Array.from(position, (p) => (p < 16 ? p : 16 + Math.floor(4 * Math.log2(p / 16))));
  const rows = new Float64Array(256 * labels);
  level.forEach((group, row) => {
    const label = labelOfSample[sample[row]!]!;
    if (label >= 0) rows[group * labels + label]!++;
  });
  const place = new Uint8Array(256).fill(NOT_MATCHED);
  let groups = 0;
  let matched = 0;
  for (let group = 0; group < 256; group++) {
    const having = rows.subarray(group * labels, (group + 1) * labels);
    if (having.filter((n) => n > 0).length < 2) continue;
    place[group] = groups++;
    matched += having.reduce((sum, n) => sum + n, 0);
  }
  const ofRow = level.map((group, row) => (labelOfSample[sample[row]!]! < 0 ? NOT_MATCHED : place[group]!));
  return { ofRow, groups, rows: matched };
}

/** `prompt` and `generated`. */
export function phaseGroups({ phase }: RowColumns): RowGroups {
  return compact(phase, (group) => PHASES[group]!);
}

/** Without the groups that have no rows. */
function compact(ofRow: Uint8Array, nameOf: (group: number) => string): RowGroups {
  const having = [...new Set(ofRow)].sort((a, b) => a - b);
  const place = new Uint8Array(256);
  having.forEach((group, at) => {
    place[group] = at;
  });
  return { names: having.map(nameOf), ofRow: ofRow.map((group) => place[group]!) };
}
