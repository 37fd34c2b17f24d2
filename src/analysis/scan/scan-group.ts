import type { GroupMeasure } from "../measures/measure.ts";
import { rowChunks } from "../rows/chosen.ts";
import { knownRuns, unknownExpert } from "../rows/known-runs.ts";
import { columnsWithin } from "../rows/row-columns.ts";
import type { IdColumn, ScanWork } from "./scan-layer.ts";

/**
 * Give a measure the same rows of several layers, as often as it must see them. Nothing is read: the layers' experts
 * were kept while they were scanned. Rows whose best expert is not known in one of them are left out.
 *
 * @param experts by layer of the group, `[rows, perRow]`.
 */
export function scanGroup(
  { scope, columns }: Pick<ScanWork, "scope" | "columns">,
  measure: GroupMeasure,
  group: readonly number[],
  experts: readonly IdColumn[],
): unknown {
  const state = measure.start(scope, group);
  const perRow = columns.length === 0 ? 0 : experts[0]!.length / columns.length;
  const unknown = experts.map(unknownExpert);
  const isUnknown = (row: number) => experts.some((ids, layer) => ids[row * perRow] === unknown[layer]);
  for (let pass = 0; pass < measure.passes; pass++) {
    if (pass > 0) measure.next?.(state, scope, pass);
    for (const [begin, end] of rowChunks(columns.length))
      for (const [from, to] of knownRuns(end - begin, (row) => isUnknown(begin + row))) {
        const rows = {
          from: begin + from,
          rows: to - from,
          perRow,
          experts: experts.map((ids) => ids.subarray((begin + from) * perRow, (begin + to) * perRow)),
          ...columnsWithin(columns, begin + from, begin + to),
        };
        measure.take(state, rows, scope, pass);
      }
  }
  return measure.group(state, scope);
}
