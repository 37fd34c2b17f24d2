import { EngineError } from "../../../core/errors.ts";
import type { Llama, NativeBatch } from "../native/bindings.ts";
import type { Pointer } from "../native/pointers.ts";
import { NativeTokens } from "../run/native-tokens.ts";
import { SAMPLE } from "../run/probe-sample.ts";
import type { GraphWatcher, Tap } from "./tap.ts";

/** What it takes to have a step built: a context with its tap. */
export interface SteppingSession {
  readonly llama: Llama;
  readonly context: Pointer;
  readonly memory: Pointer;
  readonly parallel: number;
  readonly contextSize: number;
  readonly tap: Tap;
  compute(batch: NativeBatch): number;
  invalidateGraph(): void;
}

/** Have llama.cpp build the graph of a first step of so many tokens, all of them outputs, and leave all operations out. */
export function lookAtStep(session: SteppingSession, count: number, watcher: GraphWatcher): void {
  const tokens = new NativeTokens(count, 1);
  const running = { ...SAMPLE, tokens: new Int32Array(count), length: count };
  tokens.fill([{ running, from: 0, count }], "all");
  session.tap.look(watcher);
  session.invalidateGraph();
  try {
    const code = session.compute(tokens.batch);
    session.tap.settle(session.context);
    if (code !== 0)
      throw new EngineError(
        "ENGINE_FAILED",
        `llama.cpp failed with ${code} on a step that is only looked at`,
      );
  } finally {
    session.llama.clearMemory(session.memory, false);
    session.invalidateGraph();
  }
}
