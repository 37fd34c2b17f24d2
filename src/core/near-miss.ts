/**
 * The known name that somebody meant who wrote another: the same in another case or style (`max_tokens`), one that has
 * it as a part (`csv` of `usage-csv`), or one that a slip or two away; `null` where none is near.
 */
export function nearMiss(name: string, known: readonly string[]): string | null {
  const plain = bare(name);
  if (plain === "") return null;
  const same = known.find((other) => bare(other) === plain);
  if (same !== undefined) return same;
  // Long names may have two slips; of short ones nearly all are two slips apart.
  const most = plain.length < 4 ? 1 : 2;
  const [best] = known
    .map((other) => ({ other, slips: slipsBetween(plain, bare(other)) }))
    .filter(({ slips }) => slips <= most)
    .sort((a, b) => a.slips - b.slips);
  if (best) return best.other;
  const part = (other: string) =>
    plain.length > 2 && (bare(other).startsWith(plain) || bare(other).endsWith(plain));
  return known.find(part) ?? null;
}

const bare = (name: string) => name.toLowerCase().replace(/[^a-z0-9]/g, "");

/**
 * Letters to add, leave out, change or swap with their neighbour: the optimal string alignment distance (Damerau, Commun.
 * ACM 7, 1964).
 */
function slipsBetween(a: string, b: string): number {
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      row[j] = Math.min(row[j - 1]! + 1, last[j]! + 1, last[j - 1]! + (same ? 0 : 1));
      if (a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) row[j] = Math.min(row[j]!, before[j - 2]! + 1);
    }
    before = last;
    last = row;
  }
  return last[b.length]!;
}
