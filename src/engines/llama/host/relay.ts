/**
 * Entry of the child process of `isolate: "process"`. llama.cpp runs in a thread here just as it does without
 * isolation; this main thread passes messages on and stays free to notice a stop, or the end of the parent.
 */
import type { FromRelay, ToRelay } from "./protocol.ts";
import { ThreadChannel } from "./thread-channel.ts";

// Whatever native code is doing: without a parent there is nobody to do it for, and nothing to save.
process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
// Ctrl-C reaches every process of a terminal; the parent decides what it means.
process.on("SIGINT", () => {});

const send = (message: FromRelay, then?: () => void) => process.send!(message, undefined, undefined, then);
let channel: ThreadChannel;

process.on("message", async (message: ToRelay) => {
  if (message.type === "start") {
    channel = await ThreadChannel.open(message.options);
    channel.listen({
      message: send,
      ended: (end) => send({ type: "ended", end }, () => process.exit()),
    });
  } else if (message.type === "stop") channel.stop();
  else if (message.type === "resume") channel.resume();
  else if (message.type === "taken") channel.taken();
  else channel.post(message);
});
