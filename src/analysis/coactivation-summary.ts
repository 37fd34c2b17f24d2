import type { CoactivationPair, CoactivationSummary } from "./capture-analysis.ts";
import type { Coactivation } from "./coactivation.ts";

/** Pairs listed each way. */
const MAX_PAIRS = 20;
/**
 * Pairs that independent experts would share fewer rows of are not ranked: their lift is mostly chance. Cochran's rule
 * for expected counts (Biometrics 10, 1954).
 */
const MIN_EXPECTED = 5;
/** Beyond this many experts the whole matrix is left to `coactivation`: 512 experts are a quarter of a million numbers. */
const MAX_MATRIX = 128;

/** The pairs of a layer that stand out. `null` for top-1 routing and without rows. */
export function coactivationSummary(found: Coactivation): CoactivationSummary | null {
  const { experts, neutralLift } = found;
  if (!(neutralLift > 0)) return null;
  const pairs = rankedPairs(found);
  return {
    neutralLift,
    together: pairs.slice(0, MAX_PAIRS).filter(({ attraction }) => attraction > 1),
    apart: pairs
      .slice(-MAX_PAIRS)
      .reverse()
      .filter(({ attraction }) => attraction < 1),
    clusters: [],
    silhouette: null,
    order: Array.from({ length: experts }, (_, expert) => expert),
    attraction: experts <= MAX_MATRIX ? matrix(found) : null,
  };
}

/** Pairs with enough rows to say something, by attraction, greatest first. */
function rankedPairs({ counts, lift, experts, rows, neutralLift }: Coactivation): CoactivationPair[] {
  const pairs: CoactivationPair[] = [];
  for (let a = 0; a < experts; a++)
    for (let b = a + 1; b < experts; b++) {
      const expected = (counts[a * experts + a]! * counts[b * experts + b]!) / rows;
      if (expected * neutralLift < MIN_EXPECTED) continue;
      const of = lift[a * experts + b]!;
      pairs.push({ a, b, count: counts[a * experts + b]!, lift: of, attraction: of / neutralLift });
    }
  return pairs.sort((x, y) => y.attraction - x.attraction || y.count - x.count);
}

function matrix({ lift, experts, neutralLift }: Coactivation): (number | null)[][] {
  const digits = (value: number) => (Number.isNaN(value) ? null : Number(value.toPrecision(3)));
  return Array.from({ length: experts }, (_, a) =>
    Array.from({ length: experts }, (_, b) => digits(lift[a * experts + b]! / neutralLift)),
  );
}
