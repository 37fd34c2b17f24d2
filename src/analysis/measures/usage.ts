import type { UsageCounts } from "../expert-usage.ts";
import type { ExpertLoad } from "../layer-analysis.ts";
import { type LoadBalance, loadBalance, underusedExperts } from "../statistics/balance.ts";
import { wilsonInterval } from "../statistics/wilson.ts";

const CONFIDENCE = 0.95;

/** A layer's balance; `null` without rows. A layer of one expert has no variation. */
export function balanceOf({ rows, counts }: UsageCounts): LoadBalance | null {
  if (rows === 0) return null;
  const balance = loadBalance(counts);
  return { ...balance, cv: Number.isNaN(balance.cv) ? 0 : balance.cv };
}

/** How much work each expert of a layer does, with the uncertainty that the number of rows leaves. */
export function expertLoads(usage: UsageCounts): ExpertLoad[] {
  const { rows, counts, weights } = usage;
  const under = new Map(
    underusedExperts(usage, { confidence: CONFIDENCE }).map((found) => [found.expert, found]),
  );
  const choices = counts.reduce((sum, count) => sum + count, 0);
  const weightTotal = weights?.reduce((sum, weight) => sum + weight, 0) ?? 0;
  return Array.from(counts, (count, expert) => ({
    expert,
    count,
    share: rows === 0 ? 0 : count / rows,
    timesFair: choices === 0 ? 0 : (count * counts.length) / choices,
    interval: rows === 0 ? [0, 1] : wilsonInterval(count, rows, CONFIDENCE),
    weight: weights && weights[expert]!,
    weightShare: weights && weightTotal > 0 ? weights[expert]! / weightTotal : null,
    state: count === 0 ? "dead" : under.has(expert) ? "underused" : "used",
    certain: under.get(expert)?.certain ?? false,
  }));
}
