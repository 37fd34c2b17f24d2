import type { Plan } from "../../../core/plan.ts";
import type { EngineRequest } from "../../../core/request.ts";
import type { Chunk } from "../run/batch.ts";

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

/** Tells which of a step's tokens a plan keeps, in the order of the step. */
export function rowSelector(select: Plan["select"]): (chunks: readonly Chunk[]) => SelectedRow[] {
  // Made once a run: a corpus has many steps, and the list may be long.
  const positions = select.positions && new Set(select.positions);
  return (chunks) => {
    const rows: SelectedRow[] = [];
    let token = 0;
    for (const { running, from, count } of chunks) {
      const first = firstPosition(running.request, select);
      for (let i = 0; i < count; i++, token++) {
        const position = from + i;
        const phase = position < running.request.tokens.length ? 0 : 1;
        if (position < first) continue;
        if (select.phase !== null && select.phase !== (phase === 0 ? "prompt" : "generated")) continue;
        if (positions && !positions.has(position)) continue;
        rows.push({ token, sample: running.sample, position, tokenId: running.tokens[position]!, phase });
      }
    }
    return rows;
  };
}

/**
 * With `last: n`, the first position that can be among the last n. Exact when the end is known beforehand; for
 * generated rows every one may be, and `LastRows` decides at the end.
 */
function firstPosition(request: EngineRequest, { phase, positions, last }: Plan["select"]): number {
  const endKnown = phase === "prompt" || request.maxTokens === 0;
  return last !== null && endKnown && positions === null ? request.tokens.length - last : 0;
}
