import type { Plan } from "../../../core/plan.ts";
import { firstOfLast, type ResolvedSelection, type RowTest, rowTest } from "../../../core/row-selection.ts";
import type { Chunk, Running } from "../run/batch.ts";

/** One row of a step that is to be captured. */
export interface SelectedRow {
  /** Index of its token in the step. */
  readonly token: number;
  readonly sample: number;
  readonly position: number;
  readonly tokenId: number;
  /** Index into `PHASES`. */
  readonly phase: 0 | 1;
}

/** Tells which of a step's tokens are kept, by the plan or the sample's own selection, in the order of the step. */
export function rowSelector(select: Plan["select"]): (chunks: readonly Chunk[]) => SelectedRow[] {
  const tests = new Map<ResolvedSelection, RowTest | null>();
  const testOf = (own: ResolvedSelection) => {
    if (!tests.has(own)) tests.set(own, rowTest(own));
    return tests.get(own)!;
  };
  const firsts = new WeakMap<Running, number>();
  return (chunks) => {
    const rows: SelectedRow[] = [];
    let token = 0;
    for (const { running, from, count } of chunks) {
      const { sample, request, tokens } = running;
      const own = request.select ?? select;
      const test = testOf(own);
      const first = firsts.get(running) ?? firstOfLast(own, test, request);
      firsts.set(running, first);
      const prompt = request.tokens.length;
      for (let i = 0; i < count; i++, token++) {
        const position = from + i;
        if (position < first) continue;
        const tokenId = tokens[position]!;
        if (test && !test(position, tokenId, prompt)) continue;
        rows.push({ token, sample, position, tokenId, phase: position < prompt ? 0 : 1 });
      }
    }
    return rows;
  };
}
