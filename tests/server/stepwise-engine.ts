import { setTimeout } from "node:timers/promises";
import type { Step } from "../../src/core/engine.ts";
import type { Plan } from "../../src/core/plan.ts";
import type { EngineRequest } from "../../src/core/request.ts";
import type { RowBatch } from "../../src/core/rows.ts";
import { FakeEngine } from "../cli/fake-engine.ts";

/** A fake engine that takes a step a token, as a real one does, and counts what it was made to do. */
export class StepwiseEngine extends FakeEngine {
  /** Steps that were computed. */
  steps = 0;
  /** Runs that go on; more than one at a time is a mistake of whoever uses the engine. */
  running = 0;
  mostAtOnce = 0;
  /** Milliseconds a step takes. */
  stepMs = 0;
  /** Thrown at this step of the next run. */
  failAt: { readonly step: number; readonly error: Error } | null = null;

  protected override async *every(
    requests: readonly EngineRequest[],
    plan: Plan,
    options: { signal?: AbortSignal },
  ): AsyncGenerator<Step> {
    this.running++;
    this.mostAtOnce = Math.max(this.mostAtOnce, this.running);
    try {
      for await (const { batch, drawn, finished, processed } of super.every(requests, plan, options)) {
        const prompt = batch!.phase.indexOf(1) < 0 ? batch!.rows : batch!.phase.indexOf(1);
        const cuts = [0, ...Array.from({ length: batch!.rows - prompt + 1 }, (_, i) => prompt + i)];
        for (let i = 1; i < cuts.length; i++) {
          await (this.stepMs > 0 ? setTimeout(this.stepMs) : new Promise(setImmediate));
          options.signal?.throwIfAborted();
          if (this.failAt?.step === i) {
            const { error } = this.failAt;
            this.failAt = null;
            throw error;
          }
          this.steps++;
          const last = i === cuts.length - 1;
          yield {
            batch: slice(batch!, cuts[i - 1]!, cuts[i]!),
            drawn,
            finished: last ? finished : [],
            processed: last ? processed - cuts[i - 1]! : cuts[i]! - cuts[i - 1]!,
          };
        }
      }
    } finally {
      this.running--;
    }
  }
}

function slice(batch: RowBatch, from: number, to: number): RowBatch {
  const streams = [...batch.streams].map(([name, layers]) => {
    const cut = [...layers].map(([layer, data]) => {
      const width = data.length / batch.rows;
      return [layer, data.slice(from * width, to * width)] as const;
    });
    return [name, new Map(cut)] as const;
  });
  return {
    rows: to - from,
    sample: batch.sample.slice(from, to),
    position: batch.position.slice(from, to),
    tokenId: batch.tokenId.slice(from, to),
    phase: batch.phase.slice(from, to),
    streams: new Map(streams),
  };
}
