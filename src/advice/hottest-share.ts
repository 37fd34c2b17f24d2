import type { ExpertUsage } from "../analysis/expert-usage.ts";

/**
 * Part of the experts' bytes read that `budget` bytes could serve with the experts that are chosen most often in them:
 * an upper bound of what placing single experts can do, on the rows the usage was counted on.
 *
 * @param sizes bytes of all experts of a layer, by layer.
 */
export function hottestShare(
  { layers, experts }: ExpertUsage,
  sizes: ReadonlyMap<number, number>,
  budget: number,
): number {
  const single = [...layers].flatMap(([layer, { counts }]) => {
    const bytes = (sizes.get(layer) ?? 0) / experts;
    return Array.from(counts, (count) => ({ count, bytes }));
  });
  single.sort((a, b) => b.count - a.count);
  const traffic = single.reduce((sum, { count, bytes }) => sum + count * bytes, 0);
  let left = budget;
  let served = 0;
  for (const { count, bytes } of single) {
    if (bytes > left) break;
    left -= bytes;
    served += count * bytes;
  }
  return traffic === 0 ? Number.NaN : served / traffic;
}
