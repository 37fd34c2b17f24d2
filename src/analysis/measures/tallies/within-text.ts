import { phaseGroups, positionGroups, type RowGroups, tokenClassGroups } from "../../rows/row-groups.ts";
import { sampleSpans } from "../../rows/sample-spans.ts";
import { type GroupTest, testGroupings } from "../../statistics/randomization/group-test.ts";
import type { Tally } from "../measure.ts";
import { addGroupRows, type GroupCounts, type GroupTally, groupCounts, startGroups } from "./group-counts.ts";
import {
  addDifferences,
  besideEachOther,
  closeText,
  contrasts,
  startDifferences,
  type TextDifferences,
} from "./text-differences.ts";

/** Groups that change within a text. */
interface Groupings {
  readonly tokenClasses: RowGroups;
  readonly positions: RowGroups;
  readonly phases: RowGroups;
  /** Samples that have rows. */
  readonly samples: number;
  readonly rows: number;
}

const NAMES = ["tokenClasses", "positions", "phases"] as const;
type Name = (typeof NAMES)[number];

interface Grouped {
  readonly counts: GroupTally;
  readonly differences: TextDifferences;
}

type State = Readonly<Record<Name, Grouped>>;

/** Groups of rows, what they did and what the test of it gave. */
export interface TestedGroups {
  readonly counts: GroupCounts;
  readonly test: GroupTest;
  /** By group the texts that have rows of it. */
  readonly texts: readonly number[];
  readonly differences: Float64Array;
  readonly halfWidths: Float64Array;
  /** The least p-value that so many texts allow. */
  readonly leastP: number;
  readonly testedRows: number;
}

/** `null` where a grouping has fewer than two groups. */
export type WithinText = Readonly<Record<Name, TestedGroups | null>>;

/**
 * Usage by class of token, by position and by phase, with tests that compare them within each text. One tally for the
 * three: a flip of a text is one for all of them.
 */
export const withinText: Tally<State, Groupings, WithinText> = {
  needs: ["chosen"],

  prepare: (columns, { tokenText }) => ({
    tokenClasses: tokenClassGroups(columns, tokenText),
    positions: positionGroups(columns),
    phases: phaseGroups(columns),
    samples: sampleSpans(columns).length,
    rows: columns.length,
  }),

  start: ({ ahead, experts }) =>
    byName((name) => ({
      counts: startGroups(ahead[name], experts),
      differences: startDifferences(ahead[name], experts, ahead.samples),
    })),

  take(state, chunk, { ahead, experts }) {
    for (const name of NAMES) {
      addGroupRows(state[name].counts, ahead[name], chunk, experts);
      if (ahead[name].names.length > 1) addDifferences(state[name].differences, ahead[name], chunk);
    }
  },

  find(state, { ahead, experts, settings: { flips, seed } }) {
    const tested = NAMES.filter((name) => ahead[name].names.length > 1);
    if (tested.length === 0) return byName(() => null);
    const parts = tested.map((name) => state[name].differences);
    for (const part of parts) closeText(part);
    let column = 0;
    const groupings = tested.map((name) => {
      const { rows, counts } = state[name].counts;
      const of = { groups: rows.length, rows, counts, column };
      column += counts.length;
      return of;
    });
    const tests = testGroupings(besideEachOther(parts, experts), groupings, experts, flips, seed);
    return byName((name) => {
      const i = tested.indexOf(name);
      if (i < 0) return null;
      return {
        counts: groupCounts(ahead[name], state[name].counts),
        test: tests[i]!,
        texts: [...parts[i]!.texts],
        ...contrasts(parts[i]!, experts, tests[i]!.critical),
        leastP: 2 ** (1 - parts[i]!.units),
        testedRows: ahead.rows,
      };
    });
  },
};

const byName = <T>(of: (name: Name) => T): Readonly<Record<Name, T>> => ({
  tokenClasses: of("tokenClasses"),
  positions: of("positions"),
  phases: of("phases"),
});
