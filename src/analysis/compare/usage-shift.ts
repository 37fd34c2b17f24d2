import { argument, number, optionsReader, thing } from "../../core/options.ts";
import { correctedTogether, type Tested } from "../statistics/randomization/max-t.ts";

/** How an expert's use differs between A and B. */
export interface UsageShift {
  readonly expert: number;
  /** Part of A's rows that used it. */
  readonly shareA: number;
  readonly shareB: number;
  /** {@link shareB} - {@link shareA}; 0.05: five of a hundred rows more in B. */
  readonly difference: number;
  /** The same at positions that both have, which is what is tested. Of two captures all compared rows are such. */
  readonly matchedDifference: number;
  /** Its 95 % interval reaches so far to both sides, a sample as one observation; `null` with fewer than two. */
  readonly halfWidth: number | null;
  /** Two-sided: how often chance alone brings as much. */
  readonly pValue: number;
  /** Corrected for all layers and experts of the call, see `correctedTogether`. */
  readonly qValue: number;
}

/** What was counted and tested in one layer. */
export interface ShiftTest {
  /** Per expert the rows of A, of B, that used it. */
  readonly countsA: ArrayLike<number>;
  readonly countsB: ArrayLike<number>;
  readonly rowsA: number;
  readonly rowsB: number;
  /** Per expert; `null`: as the counts. */
  readonly matched: Float64Array | null;
  readonly halfWidths: Float64Array;
  readonly tested: Tested;
}

/** Each layer's shifts in order of expert, with q-values over everything that was tested. */
export function usageShifts(tests: readonly ShiftTest[]): UsageShift[][] {
  const q = correctedTogether(tests.map(({ tested }) => tested));
  return tests.map(({ countsA, countsB, rowsA, rowsB, matched, halfWidths, tested }, i) =>
    Array.from(tested.pValues, (pValue, expert) => {
      const shareA = countsA[expert]! / rowsA;
      const shareB = countsB[expert]! / rowsB;
      const difference = shareB - shareA;
      const halfWidth = halfWidths[expert]!;
      return {
        ...{ expert, shareA, shareB, difference },
        matchedDifference: matched ? matched[expert]! : difference,
        halfWidth: Number.isFinite(halfWidth) ? halfWidth : null,
        ...{ pValue, qValue: q[i]![expert]! },
      };
    }),
  );
}

/** A {@link UsageShift} with its layer. */
export interface LayerShift extends UsageShift {
  readonly layer: number;
}

/** What {@link compareCaptures} and {@link compareLabels} have in common. */
export interface ShiftsByLayer {
  readonly layers: ReadonlyMap<number, { readonly experts: readonly UsageShift[] }>;
}

/** Which shifts {@link largestShifts} lists. */
export interface LargestShiftsOptions {
  /** Only shifts with a q-value of at most this, e.g. 0.05. Default 1: all that shifted. */
  readonly alpha?: number;
}

const readOptions = optionsReader<LargestShiftsOptions>("largestShifts", {
  alpha: number("from 0 to 1", (value) => value >= 0 && value <= 1),
});

const hasShifts = thing<ShiftsByLayer>(
  "what compareCaptures or compareLabels gives",
  (value) => (value as ShiftsByLayer).layers instanceof Map,
);

/**
 * The shifts of all layers, largest first.
 *
 * @throws RequestError `INVALID_ARGUMENT` for a wrong argument.
 * @example
 * import { openCapture } from "moescope";
 * import { compareCaptures, largestShifts } from "moescope/analysis";
 * const found = compareCaptures(await openCapture("full"), await openCapture("quantised"));
 * for (const { layer, expert, difference } of largestShifts(found, { alpha: 0.05 }).slice(0, 10))
 *   console.log(`expert ${expert} of layer ${layer}: ${(100 * difference).toFixed(1)} points`);
 */
export function largestShifts(found: ShiftsByLayer, options: LargestShiftsOptions = {}): LayerShift[] {
  const { layers } = argument("largestShifts", "the comparison", found, hasShifts);
  const { alpha = 1 } = readOptions(options);
  return [...layers]
    .flatMap(([layer, { experts }]) => experts.map((shift) => ({ layer, ...shift })))
    .filter(({ difference, qValue }) => difference !== 0 && qValue <= alpha)
    .sort(
      (a, b) => Math.abs(b.difference) - Math.abs(a.difference) || a.layer - b.layer || a.expert - b.expert,
    );
}
