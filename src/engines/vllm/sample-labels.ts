import { EngineError } from "../../core/errors.ts";
import type { EngineRequest, Finished } from "../../core/request.ts";
import type { RowBatch } from "../../core/rows.ts";

/**
 * Holds the labels of rows against the samples' tokens: those of prompts are known before, generated ones at the end. A
 * row under another token's label would be another row's, or another user's.
 */
export class SampleLabels {
  readonly #requests: readonly EngineRequest[];
  /** Rows of tokens that are not known yet: position and token id, one after the other. */
  readonly #generated = new Map<number, number[]>();

  constructor(requests: readonly EngineRequest[]) {
    this.#requests = requests;
  }

  /** @throws EngineError `ENGINE_FAILED` naming a row that is none of its sample's. */
  check({ rows, sample, position, tokenId }: RowBatch): void {
    for (let row = 0; row < rows; row++) {
      const index = sample[row]!;
      const { tokens } = this.#requests[index]!;
      const at = position[row]!;
      if (at < tokens.length) assertSame(index, at, tokenId[row]!, tokens[at]!);
      else {
        const list = this.#generated.get(index);
        if (list) list.push(at, tokenId[row]!);
        else this.#generated.set(index, [at, tokenId[row]!]);
      }
    }
  }

  /** The sample's tokens are known. Rows beyond them are left to who drops them. @throws as {@link check}. */
  end({ sample, tokens }: Finished): void {
    const start = this.#requests[sample]!.tokens.length;
    const rows = this.#generated.get(sample) ?? [];
    for (let i = 0; i < rows.length; i += 2) {
      const expected = tokens[rows[i]! - start];
      if (expected !== undefined) assertSame(sample, rows[i]!, rows[i + 1]!, expected);
    }
    this.#generated.delete(sample);
  }
}

function assertSame(sample: number, position: number, labelled: number, expected: number): void {
  if (labelled === expected) return;
  throw new EngineError(
    "ENGINE_FAILED",
    `vLLM hands over a row of token ${labelled} as sample ${sample}'s at position ${position}, where it has token ${expected}: ` +
      "its rows cannot be trusted. Please report this, with vLLM's version and arguments",
  );
}
