/**
 * The most frequent of any number of items, in memory for `capacity` of them: every item that makes up more than
 * 1 / (capacity + 1) of all is among the {@link candidates}. Their exact counts need a second pass.
 *
 * Source: Misra and Gries, "Finding repeated elements" (Sci. Comput. Program. 2, 1982).
 */
export type FrequentItems = Map<number, number>;

export const startItems = (): FrequentItems => new Map();

export function addItem(items: FrequentItems, item: number, capacity: number): void {
  const count = items.get(item);
  if (count !== undefined) items.set(item, count + 1);
  else if (items.size < capacity) items.set(item, 1);
  // Each sweep takes off `capacity` earlier additions, so that an addition costs little on average.
  else
    for (const [held, n] of items)
      if (n === 1) items.delete(held);
      else items.set(held, n - 1);
}

export const candidates = (items: FrequentItems): number[] => [...items.keys()];
