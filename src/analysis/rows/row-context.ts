import type { Capture } from "../../capture/capture.ts";
import { labelledSamples } from "../measures/tallies/sample-counts.ts";
import { phaseGroups, positionGroups, type RowGroups, tokenClassGroups } from "./row-groups.ts";
import { type SampleSpan, sampleSpans, someSpans } from "./sample-spans.ts";
import { type TokenTypes, tokenTypes } from "./token-types.ts";

/**
 * Rows the rotation tests rest on. More make a p-value no smaller than the permutations allow, and each permutation
 * counts them all again.
 */
const TESTED_ROWS = 16_384;

/** What is known of the rows before any layer is looked at: the same for all layers, a few bytes a row. */
export interface RowContext {
  readonly labels: readonly string[];
  /** Per sample the index of its label, -1 without one. */
  readonly labelOfSample: Int32Array;
  readonly tokenClasses: RowGroups;
  readonly positions: RowGroups;
  readonly phases: RowGroups;
  readonly types: TokenTypes;
  readonly spans: readonly SampleSpan[];
  /** Those of the rows the rotation tests look at. */
  readonly tested: readonly SampleSpan[];
}

export function rowContext(capture: Capture): RowContext {
  const spans = sampleSpans(capture);
  return {
    ...labelledSamples(capture),
    tokenClasses: tokenClassGroups(capture),
    positions: positionGroups(capture),
    phases: phaseGroups(capture),
    types: tokenTypes(capture),
    spans,
    tested: someSpans(spans, TESTED_ROWS),
  };
}
