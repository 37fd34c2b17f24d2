/** Sizes are counted in this many steps of the budget: a layer may leave that much of it unused. */
const STEPS = 1 << 16;

/**
 * The keys whose sizes add up to as much as possible within `budget`: subset sum by dynamic programming, sizes rounded
 * up to a 65536th of the budget, so that what it returns always fits.
 *
 * @returns keys in ascending order.
 */
export function largestFit(sizes: ReadonlyMap<number, number>, budget: number): number[] {
  if (budget <= 0) return [];
  const items = [...sizes].map(([key, size]) => ({ key, steps: Math.ceil((size / budget) * STEPS) }));
  // By filled steps the index of the item that came last, -1: not reached; the items before lead there.
  const cameBy = new Int32Array(STEPS + 1).fill(-1);
  const from = new Int32Array(STEPS + 1);
  items.forEach(({ steps }, item) => {
    for (let filled = STEPS; filled >= steps; filled--) {
      const before = filled - steps;
      if (cameBy[filled] === -1 && (before === 0 || cameBy[before] !== -1)) {
        cameBy[filled] = item;
        from[filled] = before;
      }
    }
  });
  let filled = cameBy.findLastIndex((item) => item !== -1);
  const keys: number[] = [];
  while (filled > 0) {
    keys.push(items[cameBy[filled]!]!.key);
    filled = from[filled]!;
  }
  return keys.sort((a, b) => a - b);
}
