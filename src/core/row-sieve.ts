import type { Step } from "./engine.ts";
import type { Plan } from "./plan.ts";
import type { EngineRequest } from "./request.ts";
import { takeRowsOf } from "./row-batch.ts";
import { RowMeans } from "./row-means.ts";
import { type ResolvedSelection, type RowTest, rowTest } from "./row-selection.ts";
import type { RowBatch } from "./rows.ts";

/**
 * The steps of an engine that computes more rows than a plan keeps, with the rows that it does keep, reduced as it says.
 * `last` is left to whoever collects the rows, unless they are reduced to a mean.
 */
export async function* sieved(
  steps: AsyncIterable<Step>,
  plan: Plan,
  requests: readonly EngineRequest[],
): AsyncGenerator<Step, void, void> {
  const keep = rowFilter(plan, requests);
  const means = meansOf(plan, requests);
  for await (const step of steps) {
    const kept = step.batch && (keep ? keep(step.batch) : step.batch);
    if (!means) yield { ...step, batch: kept };
    else {
      if (kept) means.add(kept);
      yield { ...step, batch: means.end(step.finished.map(({ sample }) => sample)) };
    }
  }
}

/** What makes the means of a plan's rows; `null` where it keeps the rows themselves. */
export function meansOf(plan: Plan, requests: readonly EngineRequest[]): RowMeans | null {
  if (plan.reduce !== "mean") return null;
  return new RowMeans((sample) => (requests[sample]!.select ?? plan.select).last);
}

/** The rows of a batch that are kept; `null`: the plan keeps every row. */
function rowFilter(
  plan: Plan,
  requests: readonly EngineRequest[],
): ((batch: RowBatch) => RowBatch | null) | null {
  const tests = new Map<ResolvedSelection, RowTest | null>();
  for (const select of [plan.select, ...requests.flatMap(({ select }) => select ?? [])])
    if (!tests.has(select)) tests.set(select, rowTest(select));
  if ([...tests.values()].every((test) => test === null)) return null;
  return (batch) => {
    const rows = Array.from({ length: batch.rows }, (_, row) => row).filter((row) => {
      const { select = plan.select, tokens } = requests[batch.sample[row]!]!;
      const test = tests.get(select)!;
      return !test || test(batch.position[row]!, batch.tokenId[row]!, tokens.length);
    });
    if (rows.length === batch.rows) return batch;
    return rows.length > 0 ? takeRowsOf(batch, rows) : null;
  };
}
