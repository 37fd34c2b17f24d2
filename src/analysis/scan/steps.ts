import { setImmediate } from "node:timers/promises";

/** Work that yields after each of its parts, so that it can be shown and stopped in between. */
export type Steps<R> = Generator<StepProgress, R, void>;

export interface StepProgress {
  readonly done: number;
  readonly total: number;
}

export interface StepOptions {
  /** Aborting rejects with the signal's reason, before the next part. */
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: ((progress: StepProgress) => void) | undefined;
}

/** All of it, without a pause. */
export function allAtOnce<R>(steps: Steps<R>): R {
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}

/** Part by part; whoever shows the progress or aborts comes through in between. */
export async function stepByStep<R>(steps: Steps<R>, { signal, onProgress }: StepOptions): Promise<R> {
  for (;;) {
    signal?.throwIfAborted();
    const { done, value } = steps.next();
    if (done) return value;
    onProgress?.(value);
    await setImmediate();
  }
}
