import { phaseGroups, positionGroups, type RowGroups, tokenClassGroups } from "../../rows/row-groups.ts";
import { type SampleSpan, sampleSpans, someSpans } from "../../rows/sample-spans.ts";
import { addSpanIds, inSpans, type SpanIds, spanRows, startSpanIds } from "../../rows/span-ids.ts";
import type { LayerTest } from "../../statistics/randomization/permutation-test.ts";
import { type DivergenceTest, testRotations } from "../../statistics/randomization/rotation-test.ts";
import type { Tally } from "../measure.ts";
import { addGroupRows, type GroupCounts, type GroupTally, groupCounts, startGroups } from "./group-counts.ts";

/**
 * Rows the rotation tests rest on. More make a p-value no smaller than the permutations allow, and each permutation
 * counts them all again.
 */
const TESTED_ROWS = 16_384;

/** Groups that change within a text. */
interface Groupings {
  readonly tokenClasses: RowGroups;
  readonly positions: RowGroups;
  readonly phases: RowGroups;
  /** The rows that are tested. */
  readonly tested: readonly SampleSpan[];
}

interface State {
  readonly tested: SpanIds;
  readonly tokenClasses: GroupTally;
  readonly positions: GroupTally;
  readonly phases: GroupTally;
}

/** Groups of rows, what they did and what the test of it gave. */
interface TestedGroups<T> {
  readonly counts: GroupCounts;
  readonly test: T;
  readonly testedRows: number;
}

/** `null` where a grouping has fewer than two groups. */
export interface WithinText {
  readonly tokenClasses: TestedGroups<LayerTest> | null;
  readonly positions: TestedGroups<DivergenceTest> | null;
  readonly phases: TestedGroups<DivergenceTest> | null;
}

/**
 * Usage by class of token, by position and by phase, with tests that rotate them within each text. One tally for the
 * three: a rotation counts the rows once for all of them.
 */
export const withinText: Tally<State, Groupings, WithinText> = {
  needs: ["chosen"],

  prepare: (columns, { tokenText }) => ({
    tokenClasses: tokenClassGroups(columns, tokenText),
    positions: positionGroups(columns),
    phases: phaseGroups(columns),
    tested: someSpans(sampleSpans(columns), TESTED_ROWS),
  }),

  start: ({ ahead: { tokenClasses, positions, phases, tested }, experts }) => ({
    tested: startSpanIds(tested),
    tokenClasses: startGroups(tokenClasses, experts),
    positions: startGroups(positions, experts),
    phases: startGroups(phases, experts),
  }),

  take(state, chunk, { ahead, experts }) {
    addSpanIds(state.tested, ahead.tested, chunk);
    for (const grouping of ["tokenClasses", "positions", "phases"] as const)
      addGroupRows(state[grouping], ahead[grouping], chunk, experts);
  },

  find(state, { ahead, experts, settings: { rotations, seed } }) {
    const { offsets, ids, topK } = state.tested;
    const grouping = ({ names, ofRow }: RowGroups) => ({
      group: inSpans(ofRow, ahead.tested, offsets),
      groups: names.length,
    });
    const tests = testRotations(
      { offsets, ids, topK },
      {
        usage: [grouping(ahead.tokenClasses)],
        divergence: [grouping(ahead.positions), grouping(ahead.phases)],
      },
      experts,
      rotations,
      seed,
    );
    const tested = <T>(groups: RowGroups, counted: GroupTally, test: T): TestedGroups<T> | null =>
      groups.names.length < 2
        ? null
        : { counts: groupCounts(groups, counted), test, testedRows: spanRows(state.tested) };
    return {
      tokenClasses: tested(ahead.tokenClasses, state.tokenClasses, tests.usage[0]!),
      positions: tested(ahead.positions, state.positions, tests.divergence[0]!),
      phases: tested(ahead.phases, state.phases, tests.divergence[1]!),
    };
  },
};
