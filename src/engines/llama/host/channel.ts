import type { HostEnd } from "./host-end.ts";
import type { FromHost, ToHost } from "./protocol.ts";

export interface ChannelListener {
  message(message: FromHost): void;
  /** Called once, after the last message. */
  ended(end: HostEnd): void;
}

/** A host of llama.cpp as the engine sees it, be it a thread or a process: messages both ways, signals that overtake them, and its end. */
export interface HostChannel {
  post(message: ToHost): void;
  /** Whoever listens last is told; the one before no longer. */
  listen(listener: ChannelListener): void;
  /** Stop what llama.cpp computes or loads, within a fraction of a step. */
  stop(): void;
  /** Take {@link stop} back, before the next run. */
  resume(): void;
  /** A `steps` message was dealt with: the host may run that much further ahead. */
  taken(): void;
  /** Nobody waits for this host any more: it ends by itself as soon as it can. */
  discard(): void;
  /** Whether the host keeps this process alive. It does not, to begin with. */
  ref(): void;
  unref(): void;
}
