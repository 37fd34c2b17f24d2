import { PHASES, type Phase, type RowBatch } from "../core/rows.ts";

/** A token with its routing, as `LanguageModel.stream` yields it. */
export interface TokenEvent {
  readonly sample: number;
  readonly position: number;
  readonly tokenId: number;
  readonly text: string;
  readonly phase: Phase;
  /** Per captured stream: layer -> this token's values. */
  readonly streams: RowBatch["streams"];
}

/** One row of a batch. Its values are views of the batch's. */
export function tokenEvent(batch: RowBatch, row: number, textOf: (tokenId: number) => string): TokenEvent {
  const streams = new Map(
    [...batch.streams].map(([name, layers]) => [
      name,
      new Map(
        [...layers].map(([layer, data]) => {
          const width = data.length / batch.rows;
          return [layer, data.subarray(row * width, (row + 1) * width)];
        }),
      ),
    ]),
  );
  const tokenId = batch.tokenId[row]!;
  return {
    sample: batch.sample[row]!,
    position: batch.position[row]!,
    tokenId,
    text: textOf(tokenId),
    phase: PHASES[batch.phase[row]!]!,
    streams,
  };
}
