/** The name that was probably meant, or `undefined`: the same letters, or one that differs by a typing mistake. */
export function nearest(name: string, known: readonly string[]): string | undefined {
  const letters = (text: string) => text.toLowerCase().replace(/[^a-z0-9]/g, "");
  const wanted = letters(name);
  const same = known.find((each) => letters(each) === wanted);
  if (same !== undefined) return same;
  const [best] = known
    .map((each) => ({ each, distance: distance(wanted, letters(each)) }))
    .sort((a, b) => a.distance - b.distance);
  return best !== undefined && best.distance <= (wanted.length < 5 ? 1 : 2) ? best.each : undefined;
}

/** Letters to add, drop or change to get from one text to the other (Levenshtein). */
function distance(a: string, b: string): number {
  let row = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const above = row;
    row = [i];
    for (let j = 1; j <= b.length; j++)
      row[j] = Math.min(above[j]! + 1, row[j - 1]! + 1, above[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1));
  }
  return row[b.length]!;
}
