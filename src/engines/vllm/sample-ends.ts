import type { RowBatch } from "../../capture/rows.ts";
import { EngineError } from "../../errors.ts";
import type { EngineRequest, Finished, Step } from "../engine.ts";
import { Overshoot } from "./overshoot.ts";

/**
 * Makes steps of what vLLM tells of its output, its rows and their number, each on a way of its own: the end of a sample
 * comes after all of its rows, as a sink may rely on. A sample that the run does not have is an EngineError `ENGINE_FAILED`.
 */
export class SampleEnds {
  readonly #samples: { rows: number; expected: number | null; end: Finished | null; told: boolean }[];
  readonly #overshoot: Overshoot;

  constructor(requests: readonly EngineRequest[]) {
    this.#overshoot = new Overshoot(requests);
    this.#samples = requests.map(() => ({ rows: 0, expected: null, end: null, told: false }));
  }

  /** Rows have come. */
  *arrived(batch: RowBatch): Generator<Step, void, void> {
    for (const index of batch.sample) this.#at(index).rows++;
    const certain = this.#overshoot.pass(batch);
    if (certain) yield { ...NOTHING, batch: certain };
    yield* this.#whole();
  }

  /** All rows of the sample have been announced: so many. */
  *counted(sample: number, rows: number): Generator<Step, void, void> {
    this.#at(sample).expected = rows;
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

  /** The samples that have ended and whose rows are all here; each once. */
  *#whole(): Generator<Step, void, void> {
    const whole = this.#samples.filter(({ told, end, rows, expected }) => !told && end && rows === expected);
    if (whole.length === 0) return;
    for (const sample of whole) sample.told = true;
    const finished = whole.map(({ end }) => end!);
    for (const batch of this.#overshoot.release(finished)) yield { ...NOTHING, batch };
    yield { ...NOTHING, finished };
  }

  #at(index: number) {
    const sample = this.#samples[index];
    if (sample) return sample;
    throw new EngineError("ENGINE_FAILED", `vLLM tells of sample ${index} of ${this.#samples.length}`);
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

const NOTHING: Step = { batch: null, drawn: [], finished: [], processed: 0 };
