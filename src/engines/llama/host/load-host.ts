import { EngineError } from "../../../core/errors.ts";
import { fromWire as errorFromWire, type WireError } from "../../../core/wire-error.ts";
import { deadline } from "../../deadline.ts";
import type { HostChannel } from "./channel.ts";
import type { HostEnd } from "./host-end.ts";
import { ProcessChannel } from "./process-channel.ts";
import type { HostOptions, Ready } from "./protocol.ts";
import { ThreadChannel } from "./thread-channel.ts";

/**
 * Where llama.cpp runs.
 * - `process`: a process of its own, which a file may crash or hang without harm to this one.
 * - `thread`: a worker thread of this process; a crash in native code ends both.
 */
export type Isolation = "process" | "thread";

export const ISOLATIONS: readonly Isolation[] = ["process", "thread"];

/** A host that has no model yet. */
export interface StartingHost {
  /** Load a model into it. An abort rejects at once; what was started goes away by itself. */
  load(options: HostOptions, bytes: number, signal?: AbortSignal): Promise<LoadedHost>;
  /** It is not needed. */
  discard(): void;
}

interface LoadedHost {
  readonly channel: HostChannel;
  readonly ready: Ready;
}

/** Start a host: a process takes some time until it can load, which the caller may use. */
export function startingHost(isolate: Isolation): StartingHost {
  if (isolate === "thread")
    return {
      load: (options, bytes, signal) => loadInto(ThreadChannel.open(options), bytes, signal),
      discard: () => {},
    };
  const channel = new ProcessChannel();
  return {
    load: (options, bytes, signal) => {
      channel.open(options);
      return loadInto(Promise.resolve(channel), bytes, signal);
    },
    discard: () => channel.discard(),
  };
}

/**
 * The longest a load may take, in milliseconds: nobody can tell a slow disk from a file that makes llama.cpp run for ever.
 *
 * @param bytes of the model, of which a megabyte a second should be read.
 */
const loadDeadline = (bytes: number) => 120_000 + bytes / 1000;

function loadInto(
  opening: Promise<HostChannel>,
  bytes: number,
  signal: AbortSignal | undefined,
): Promise<LoadedHost> {
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      reject(signal!.reason);
      void opening.then((channel) => channel.discard());
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    opening
      .then(async (channel) => resolve({ channel, ready: await untilReady(channel, loadDeadline(bytes)) }))
      .catch(reject)
      .finally(() => signal?.removeEventListener("abort", onAbort));
  });
}

function untilReady(channel: HostChannel, longest: number): Promise<Ready> {
  return new Promise<Ready>((resolve, reject) => {
    const timer = killAfter(channel, longest, "was not ready");
    channel.listen({
      message: (message) => {
        clearInterval(timer);
        if (message.type === "ready") resolve(message.ready);
        else if (message.type === "error") reject(fromWire(message.error));
      },
      ended: (end) => {
        clearInterval(timer);
        reject(crashed(end, "while loading"));
      },
    });
  });
}

/** End a host that has not done what it should by then. @param what it did not do. Clear the timer when it has. */
export function killAfter(channel: HostChannel, ms: number, what: string): NodeJS.Timeout {
  return deadline(ms, () => channel.kill(`${what} within ${Math.round(ms / 1000)} s and was stopped`));
}

/** The host is gone though nobody closed it. */
export function crashed({ name, what, cause }: HostEnd, when = ""): EngineError {
  return new EngineError(
    "ENGINE_CRASHED",
    `${name} ${what}${when ? ` ${when}` : ""}; load the model again, and if that ends the same way, the file is ` +
      "damaged or this llama.cpp cannot run it",
    { cause, retryable: true },
  );
}

/** An error of the host as the class it was there. */
export function fromWire(wire: WireError): Error {
  const error = errorFromWire(wire);
  if (wire.code !== null) return error;
  return new EngineError("ENGINE_FAILED", `llama.cpp's host failed: ${wire.message}`, { cause: error });
}
