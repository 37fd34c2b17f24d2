import type { Step } from "../../core/engine.ts";
import { EngineError } from "../../core/errors.ts";
import type { EngineRequest, Finished } from "../../core/request.ts";
import type { RowBatch } from "../../core/rows.ts";
import { Overshoot } from "./overshoot.ts";
import type { RowsEnd } from "./protocol.ts";
import { SampleLabels } from "./sample-labels.ts";

interface Sample {
  rows: number;
  /** How many there are to be. */
  expected: number | null;
  end: Finished | null;
  told: boolean;
  /** Why it will not come to its end; another request for it may still bring it there. */
  lost: string | null;
  error: EngineError | null;
}

/**
 * Makes steps of what vLLM tells of its output, its rows and their number, each on a way of its own: the end of a sample
 * comes after all of its rows, as a sink may rely on. A sample that is lost does not end, and the others go on. A sample
 * that the run does not have is an EngineError `ENGINE_FAILED`.
 */
export class SampleEnds {
  readonly #samples: Sample[];
  readonly #labels: SampleLabels;
  readonly #overshoot: Overshoot;

  constructor(requests: readonly EngineRequest[]) {
    this.#labels = new SampleLabels(requests);
    this.#overshoot = new Overshoot(requests);
    this.#samples = requests.map(() => ({
      rows: 0,
      expected: null,
      end: null,
      told: false,
      lost: null,
      error: null,
    }));
  }

  /** Rows have come. */
  *arrived(batch: RowBatch): Generator<Step, void, void> {
    for (const index of batch.sample) this.#at(index).rows++;
    this.#labels.check(batch);
    const certain = this.#overshoot.pass(batch);
    if (certain) yield { ...NOTHING, batch: certain };
    yield* this.#whole();
  }

  /** All rows of a sample have been announced. */
  *counted({ sample: index, rows, how, why }: RowsEnd): Generator<Step, void, void> {
    const sample = this.#at(index);
    if (how === "complete") Object.assign(sample, { expected: rows, lost: null, error: null });
    else sample.lost = why ?? (how === "aborted" ? ABORTED : "the engine gave it up");
    yield* this.#whole();
  }

  /** The engine has made a step, and these samples' outputs are complete. */
  *stepped(
    drawn: Step["drawn"],
    processed: number,
    finished: readonly Finished[],
  ): Generator<Step, void, void> {
    for (const end of finished) this.#at(end.sample).end = end;
    if (drawn.length > 0 || processed > 0) yield { ...NOTHING, drawn, processed };
    yield* this.#whole();
  }

  /** The sample's output will not come. @param error what its request was answered with. */
  lost(index: number, why: string, error: EngineError | null = null): void {
    const sample = this.#at(index);
    sample.lost ??= why;
    sample.error ??= error;
  }

  /** Whether every sample has come to its end, or will not. */
  get settled(): boolean {
    return this.#samples.every(({ told, lost }) => told || lost !== null);
  }

  /** The samples that have ended and whose rows are all here; each once. */
  *#whole(): Generator<Step, void, void> {
    const whole = this.#samples.filter(({ told, end, rows, expected }) => !told && end && rows === expected);
    if (whole.length === 0) return;
    for (const sample of whole) sample.told = true;
    const finished = whole.map(({ end }) => end!);
    for (const end of finished) this.#labels.end(end);
    for (const batch of this.#overshoot.release(finished)) yield { ...NOTHING, batch };
    yield { ...NOTHING, finished };
  }

  #at(index: number) {
    const sample = this.#samples[index];
    if (sample) return sample;
    throw new EngineError("ENGINE_FAILED", `vLLM tells of sample ${index} of ${this.#samples.length}`);
  }

  /**
   * @throws EngineError naming what is missing, at the end of a run: with the code of what the first lost sample's request
   * was answered with, else `ENGINE_FAILED`.
   */
  assertAll(): void {
    const index = this.#samples.findIndex(({ told }) => !told);
    if (index < 0) return;
    const { rows, expected, end, lost, error } = this.#samples[index]!;
    const others = this.#samples.filter(({ told }) => !told).length - 1;
    const what =
      lost !== null
        ? `was not completed: ${lost}`
        : end
          ? `has ${rows} of ${expected ?? "an unknown number of"} rows`
          : "did not end";
    throw new EngineError(
      error?.code ?? "ENGINE_FAILED",
      `vLLM ended the run, but sample ${index} ${what}${others > 0 ? `, and ${others} more` : ""}`,
      { retryable: error?.retryable ?? lost !== null, ...(error && { cause: error }) },
    );
  }
}

/** Why a sample is lost when nothing else is known of it. */
const ABORTED = "its request was aborted";

const NOTHING: Step = { batch: null, drawn: [], finished: [], processed: 0 };
