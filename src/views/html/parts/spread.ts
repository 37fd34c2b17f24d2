/** As many items as fit, evenly from the first to the last. */
export function spread<T>(items: readonly T[], most: number): readonly T[] {
  if (items.length <= most) return items;
  const at = (i: number) => Math.round((i * (items.length - 1)) / Math.max(1, most - 1));
  return Array.from({ length: most }, (_, i) => items[at(i)]!);
}
