import { seededRandom } from "./random.ts";

/** Rows of whole samples in their order. */
export interface SampleRows {
  /** Where each sample's rows begin; one more than there are samples. */
  readonly offsets: Uint32Array;
  /** Chosen experts `[rows, topK]`. */
  readonly ids: Uint16Array;
  readonly topK: number;
}

/** One way to put rows into groups. */
export interface Grouping {
  /** Group of each row. */
  readonly group: ArrayLike<number>;
  readonly groups: number;
}

/** `[groups, experts]`: rows of the group that used the expert, and the rows of each group. */
export interface RotatedCounts {
  readonly counts: Float64Array;
  readonly rows: Float64Array;
}

/**
 * Counts of some groupings of the same rows while each sample's sequence of groups is turned against its experts.
 *
 * Turning leaves what goes together in a row as it is, so rows are counted once for all groupings: by what groups a row
 * is in together, to be summed for each grouping.
 */
export class Rotations {
  readonly counted: readonly RotatedCounts[];
  readonly #rows: SampleRows;
  readonly #random: () => number;
  readonly #turn: Uint32Array;
  readonly #tables: readonly Table[];

  constructor(rows: SampleRows, groupings: readonly Grouping[], experts: number, seed: number) {
    this.#rows = rows;
    this.#random = seededRandom(seed);
    this.#turn = new Uint32Array(rows.offsets.length - 1);
    this.counted = groupings.map(({ group, groups }) => {
      const sizes = new Float64Array(groups);
      for (let row = 0; row < group.length; row++) sizes[group[row]!]!++;
      return { counts: new Float64Array(groups * experts), rows: sizes };
    });
    this.#tables = tablesOf(rows, groupings, experts);
    this.#count();
  }

  /** Turn every sample by a random number of places. */
  turn(): void {
    const { offsets } = this.#rows;
    for (let s = 0; s < this.#turn.length; s++)
      this.#turn[s] = Math.floor(this.#random() * (offsets[s + 1]! - offsets[s]!));
    this.#count();
  }

  #count(): void {
    for (const { counts } of this.counted) counts.fill(0);
    for (const { places, table, parts, experts } of this.#tables) {
      countTurned(this.#rows, this.#turn, places, table);
      for (const { grouping, groupOf } of parts) {
        const { counts } = this.counted[grouping]!;
        for (let joint = 0, i = 0; joint < groupOf.length; joint++)
          for (let e = 0, at = groupOf[joint]! * experts; e < experts; e++) counts[at++]! += table[i++]!;
      }
    }
  }
}

/** What is counted in one pass over the rows. */
interface Table {
  /** Each sample's groups twice in a row, as places in the table: a turned sequence is a stretch of it. */
  readonly places: Int32Array;
  /** `[joint groups, experts]`; whole numbers are added up fastest. */
  readonly table: Int32Array;
  readonly experts: number;
  /** What it is summed into: each grouping with its group of each joint one. */
  readonly parts: readonly { readonly grouping: number; readonly groupOf: ArrayLike<number> }[];
}

/** One table for all groupings, or, where it would be larger than what is counted into it, one for each. */
function tablesOf(rows: SampleRows, groupings: readonly Grouping[], experts: number): Table[] {
  const table = (group: ArrayLike<number>, groups: number, parts: Table["parts"]): Table => ({
    places: doubled(rows.offsets, group, experts),
    table: new Int32Array(groups * experts),
    experts,
    parts,
  });
  const { group, members } = jointly(groupings);
  if (members.length * experts <= rows.ids.length) {
    const parts = groupings.map((_, grouping) => ({ grouping, groupOf: members.map((of) => of[grouping]!) }));
    return [table(group, members.length, parts)];
  }
  return groupings.map((of, grouping) =>
    table(of.group, of.groups, [{ grouping, groupOf: Array.from({ length: of.groups }, (_, g) => g) }]),
  );
}

/** Rows by all their groups together. `members` holds, for each joint group, the group in every grouping. */
function jointly(groupings: readonly Grouping[]): { group: Int32Array; members: number[][] } {
  const index = new Map<number, number>();
  const members: number[][] = [];
  const group = Int32Array.from({ length: groupings[0]?.group.length ?? 0 }, (_, row) => {
    const key = groupings.reduce((of, { group, groups }) => of * groups + group[row]!, 0);
    if (!index.has(key)) index.set(key, members.push(groupings.map(({ group }) => group[row]!)) - 1);
    return index.get(key)!;
  });
  return { group, members };
}

function doubled(offsets: Uint32Array, group: ArrayLike<number>, experts: number): Int32Array {
  const places = new Int32Array(2 * group.length);
  for (let s = 0; s < offsets.length - 1; s++) {
    const begin = offsets[s]!;
    const length = offsets[s + 1]! - begin;
    for (let i = 0; i < 2 * length; i++) places[2 * begin + i] = group[begin + (i % length)]! * experts;
  }
  return places;
}

function countTurned(
  { offsets, ids, topK }: SampleRows,
  turn: Uint32Array,
  places: Int32Array,
  table: Int32Array,
): void {
  table.fill(0);
  for (let s = 0; s < turn.length; s++) {
    const end = offsets[s + 1]!;
    const shift = offsets[s]! + turn[s]!;
    let i = offsets[s]! * topK;
    for (let row = offsets[s]!; row < end; row++) {
      const base = places[row + shift]!;
      const last = i + topK;
      // Four at a time take half the time, and nearly all of a rotation's time is spent here.
      for (; i + 3 < last; i += 4) {
        table[base + ids[i]!]!++;
        table[base + ids[i + 1]!]!++;
        table[base + ids[i + 2]!]!++;
        table[base + ids[i + 3]!]!++;
      }
      for (; i < last; i++) table[base + ids[i]!]!++;
    }
  }
}
