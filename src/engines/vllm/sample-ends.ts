import type { RowBatch } from "../../capture/rows.ts";
import { EngineError } from "../../errors.ts";
import type { Finished } from "../engine.ts";

/**
 * Keeps the end of a sample back until all of its rows are there: vLLM tells of its output, its rows and their number on
 * ways of their own, and a sink may rely on the order.
 */
export class SampleEnds {
  readonly #samples: { rows: number; expected: number | null; end: Finished | null; told: boolean }[];

  /** @param samples that are to end. */
  constructor(samples: number) {
    this.#samples = Array.from({ length: samples }, () => ({
      rows: 0,
      expected: null,
      end: null,
      told: false,
    }));
  }

  /** Rows have come. */
  arrived({ sample }: RowBatch): void {
    for (const index of sample) this.#samples[index]!.rows++;
  }

  /** The sample has so many rows in all. */
  counted(sample: number, rows: number): void {
    this.#samples[sample]!.expected = rows;
  }

  /** What the sample's output is. */
  ended(end: Finished): void {
    this.#samples[end.sample]!.end = end;
  }

  /** The samples that have ended and are whole; each once. */
  take(): Finished[] {
    const whole = this.#samples.filter(({ told, end, rows, expected }) => !told && end && rows === expected);
    for (const sample of whole) sample.told = true;
    return whole.map(({ end }) => end!);
  }

  /** @throws EngineError `ENGINE_FAILED` naming what is missing, at the end of a run. */
  assertAll(): void {
    const index = this.#samples.findIndex(({ told }) => !told);
    if (index < 0) return;
    const { rows, expected, end } = this.#samples[index]!;
    const what = end ? `has ${rows} of ${expected ?? "an unknown number of"} rows` : "did not end";
    throw new EngineError("ENGINE_FAILED", `vLLM ended the run, but sample ${index} ${what}`);
  }
}
