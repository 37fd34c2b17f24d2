import { EngineError } from "../../../core/errors.ts";
import type { RowEdit } from "../edit/row-edits.ts";
import { NONE } from "../graph/graph.ts";
import type { GraphTaps } from "../graph/graph-taps.ts";
import type { TokenRows } from "../graph/rows.ts";
import type { Llama } from "../native/bindings.ts";

/** Something whose rows are to be the step's. */
interface Placed {
  /** `null`: not known. */
  readonly rowsAre: TokenRows["of"] | null;
}

/** What a step has been given, in the order it was given. */
export interface StepRows {
  /** The first so many of {@link tokenIds} and {@link outputIndex} count. */
  readonly tokens: number;
  readonly tokenIds: Int32Array;
  /** Per token its index among the outputs, or -1. */
  readonly outputIndex: Int32Array;
  readonly outputs: number;
  /** By token what is done to its row; absent: nothing to any. */
  readonly edits?: readonly (RowEdit | null)[];
}

/**
 * Check that a graph's rows are the step's tokens in the order they were given: llama.cpp has already filled in which
 * token it looks up for each row, and which rows it takes out as outputs. It reorders some batches.
 *
 * @throws EngineError if they are not.
 */
export function checkRowOrder(
  llama: Llama,
  { graph, rows }: GraphTaps,
  step: StepRows,
  wanted: readonly Placed[],
): void {
  const read = (index: number, count: number): Int32Array | null => {
    const { address, shape } = graph.at(index);
    if (shape[0] !== count) return null;
    const values = new Int32Array(count);
    if (count > 0) llama.readTensor(address, new Uint8Array(values.buffer), 0, 4 * count);
    return values;
  };
  const must = (ok: boolean | undefined, what: string) => {
    if (!ok)
      throw new EngineError(
        "ENGINE_FAILED",
        `llama.cpp computes ${what} of this step in another order than they were given, so no row can be labelled; ` +
          "load the model with parallel: 1",
      );
  };
  if (wanted.some(({ rowsAre }) => rowsAre !== null) && rows.tokens !== NONE)
    must(
      read(rows.tokens, step.tokens)?.every((id, i) => id === step.tokenIds[i]),
      "the tokens",
    );
  if (wanted.some(({ rowsAre }) => rowsAre === "outputs"))
    must(
      read(rows.outputs, step.outputs)?.every((token, i) => step.outputIndex[token] === i),
      "the outputs",
    );
}
