import * as errors from "../../../core/errors.ts";
import type { HostChannel } from "./channel.ts";
import type { HostEnd } from "./host-end.ts";
import { ProcessChannel } from "./process-channel.ts";
import type { HostOptions, Ready, WireError } from "./protocol.ts";
import { ThreadChannel } from "./thread-channel.ts";

const { EngineError, ModelError, RequestError } = errors;

/**
 * Where llama.cpp runs.
 * - `thread`: a worker thread, with nothing between it and this process; a crash in native code ends both.
 * - `process`: a process of its own, which may crash alone. For servers, and for files nobody vouches for.
 */
export type Isolation = "thread" | "process";

/** Start a host and wait until its model is loaded. An abort rejects at once; what was started goes away by itself. */
export function loadHost(
  options: HostOptions,
  isolate: Isolation,
  signal?: AbortSignal,
): Promise<{ channel: HostChannel; ready: Ready }> {
  const opening: Promise<HostChannel> =
    isolate === "process" ? Promise.resolve(new ProcessChannel(options)) : ThreadChannel.open(options);
  return new Promise((resolve, reject) => {
    const onAbort = () => {
      reject(signal!.reason);
      void opening.then((channel) => channel.discard());
    };
    signal?.addEventListener("abort", onAbort, { once: true });
    opening
      .then(async (channel) => resolve({ channel, ready: await untilReady(channel) }))
      .catch(reject)
      .finally(() => signal?.removeEventListener("abort", onAbort));
  });
}

function untilReady(channel: HostChannel): Promise<Ready> {
  return new Promise((resolve, reject) =>
    channel.listen({
      message: (message) => {
        if (message.type === "ready") resolve(message.ready);
        else if (message.type === "error") reject(fromWire(message.error));
      },
      ended: (end) => reject(crashed(end, "while loading")),
    }),
  );
}

/** The host is gone though nobody closed it. */
export function crashed({ name, what, cause }: HostEnd, when = ""): errors.EngineError {
  return new EngineError(
    "ENGINE_CRASHED",
    `${name} ${what}${when ? ` ${when}` : ""}; load the model again, and if that ends the same way, the file is ` +
      "damaged or this llama.cpp cannot run it",
    { cause, retryable: true },
  );
}

/** An error of the host as the class it was there. */
export function fromWire({ name, code, message, stack }: WireError): Error {
  const cause = Object.assign(new Error(message), { name, stack });
  if (code === null)
    return new EngineError("ENGINE_FAILED", `llama.cpp's host failed: ${message}`, { cause });
  if (name === "ModelError") return new ModelError(code, message, { cause });
  if (name === "RequestError") return new RequestError(code, message, { cause });
  return new EngineError(code, message, { cause });
}
