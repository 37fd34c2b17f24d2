import { makeAbort, raiseAbort } from "../native/abort.ts";
import { CONTROL, type SharedSignals } from "./protocol.ts";

/** Signals that overtake messages: memory shared with the thread that runs llama.cpp. */
export class HostSignals {
  readonly #control: Int32Array;
  readonly shared: SharedSignals;

  /** @param shared of the other side; made here where it is left out. */
  constructor(shared: SharedSignals = { control: new SharedArrayBuffer(CONTROL.bytes), abort: makeAbort() }) {
    this.#control = new Int32Array(shared.control);
    this.shared = shared;
  }

  stop(): void {
    Atomics.store(this.#control, CONTROL.aborted, 1);
    raiseAbort(this.shared.abort);
    // The host may be waiting for messages to be taken.
    Atomics.notify(this.#control, CONTROL.taken);
  }

  resume(): void {
    Atomics.store(this.#control, CONTROL.aborted, 0);
    raiseAbort(this.shared.abort, false);
  }

  taken(): void {
    Atomics.add(this.#control, CONTROL.taken, 1);
    Atomics.notify(this.#control, CONTROL.taken);
  }
}
