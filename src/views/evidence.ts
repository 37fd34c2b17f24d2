import type { CaptureAnalysis } from "../analysis/capture-analysis.ts";
import type { CoactivationSummary } from "../analysis/measures/coactivation.ts";
import type { GroupUsage } from "../analysis/measures/tallies/group-usage.ts";
import type { LayerTokenPreferences } from "../analysis/measures/token-preferences.ts";
import { TEXTS_TO_FLIP, unitsNeeded } from "../analysis/statistics/randomization/least-q.ts";
import { largest } from "../core/extremes.ts";
import { ranges } from "../core/plan.ts";
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

/** What is to be known of a test between labels: why none can decide, and what is compared. */
export function labelNotes({ leastQ, texts, testedRows, rows }: GroupUsage): string[] {
  const total = rows.reduce((sum, n) => sum + n, 0);
  return [tooFewTexts(leastQ, texts), unequalLengths(testedRows, total)].filter((note) => note !== null);
}

/** The least q that so many texts allow, said where a result is possible. */
export const leastReachable = (leastQ: number): string =>
  `least q that so many texts and permutations allow: ${Number(leastQ.toPrecision(2))}`;

/** What a list says that holds the part of false findings. */
const LISTED = `q ≤ ${ALPHA}, so that of all that is listed about ${percent(ALPHA)} may be false`;

/** What tokens had to show to be listed, or why none could. */
export function tokensTested({ textsNeeded, testedTypes }: LayerTokenPreferences): string {
  if (textsNeeded === null) return "no token is tested: each expert serves every token";
  const fewer = `a token must occur in ${count(textsNeeded)} texts to show a preference`;
  return testedTypes === 0
    ? `no result is possible: ${fewer}, and none does`
    : `${LISTED}; a text counts once, tokens are compared with others of the same texts; ${plural(testedTypes, "token type")} tested: ${fewer}`;
}

/** The same of pairs of experts. */
export const pairsTested = ({ texts, textsNeeded, testedPairs }: CoactivationSummary): string =>
  texts < textsNeeded
    ? `no result is possible with ${plural(texts, "text")}: ${textsNeeded} are the least that can tell`
    : `${LISTED}; a text counts once; ${plural(testedPairs, "pair")} tested: those that chance would give 5 tokens`;

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

/** How many rows figures leave out, because their values are no numbers; `null` where none. */
export function notFinite(
  layers: CaptureAnalysis<"entropy" | "usage" | "hiddenStates">["layers"],
): string | null {
  const rowsOf = ({ entropy, usage, hiddenStates }: (typeof layers)[number]) =>
    Math.max(entropy?.notFinite ?? 0, usage.notFinite, hiddenStates?.notFinite ?? 0);
  const broken = layers.filter((layer) => rowsOf(layer) > 0);
  if (broken.length === 0) return null;
  return (
    `Values that are NaN or infinite: ${plural(largest(broken.map(rowsOf)), "token")} at most in layers ${ranges(broken.map(({ layer }) => layer))}; ` +
    "entropy, margin, weights, flows, paths and the probe leave them out"
  );
}
