/** Lines a table of layers may take: it stays on one screen with the text above it. */
const MAX_ROWS = 24;

/** Layers that share a line. */
export interface LayerGroup<T> {
  readonly name: string;
  readonly members: readonly T[];
}

/** One line a layer, or the same number of layers a line where that would be too many; `notes` says so. */
export function layerGroups<T extends { readonly layer: number }>(
  all: readonly T[],
): {
  groups: LayerGroup<T>[];
  notes: string[];
} {
  const perRow = Math.ceil(all.length / MAX_ROWS);
  const groups = Array.from({ length: Math.ceil(all.length / perRow) }, (_, i) => {
    const members = all.slice(i * perRow, (i + 1) * perRow);
    return { name: `L${members[0]!.layer}`, members };
  });
  return { groups, notes: perRow > 1 ? [`each row: the mean of ${perRow} layers, named by the first`] : [] };
}

export const mean = (values: readonly number[]) =>
  values.reduce((total, value) => total + value, 0) / values.length;
