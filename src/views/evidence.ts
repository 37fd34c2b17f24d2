import { TEXTS_TO_FLIP, unitsNeeded } from "../analysis/statistics/randomization/least-q.ts";
import { count, percent, plural } from "./numbers.ts";

/** What counts as a finding: the accepted chance that any of them is false. */
export const ALPHA = 0.05;

/** What a mark means. */
export const BEYOND_CHANCE = `beyond chance: q ≤ ${ALPHA}, at most a ${percent(ALPHA)} chance that any one is false`;

/** Why labels cannot be told apart, and what would be enough; `null` where they can. */
export function tooFewTexts(leastQ: number, texts: readonly number[]): string | null {
  if (leastQ <= ALPHA) return null;
  return (
    `no result is possible: with ${texts.map(count).join(" and ")} texts a label no q is below ${leastQ.toPrecision(2)}; ` +
    `${count(unitsNeeded(texts.length))} texts of each label are the least that can tell`
  );
}

/** The same of groups within texts. */
export const tooFewToFlip = (leastQ: number): string | null =>
  leastQ <= ALPHA
    ? null
    : `no result is possible with so few texts: no q is below ${leastQ.toPrecision(2)}; ${TEXTS_TO_FLIP} texts are the least that can tell`;

/** How much of the tokens is compared, where labels have texts of unequal length; `null` where it is all of them. */
export const unequalLengths = (matched: number, rows: number): string | null =>
  matched === rows
    ? null
    : `texts of unequal length: tests compare the ${plural(matched, "token")} (${percent(matched / rows)}) at positions that several labels have`;
