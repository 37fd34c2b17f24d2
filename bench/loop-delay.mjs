// Loaded into a server by `--import`: how long its event loop was held up at most, told to the parent when it asks.
import { readFileSync } from "node:fs";
import { monitorEventLoopDelay } from "node:perf_hooks";

const STEP_MS = 5;
const delay = monitorEventLoopDelay({ resolution: STEP_MS });
delay.enable();

/** Milliseconds that the main thread has had a core; `null` where the system does not say. */
function onCore() {
  try {
    return Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;
  } catch {
    return null;
  }
}

// On a machine that is busy with other things a thread also waits for its turn. What it computed between two steps
// does not depend on that.
let computed = 0;
let before = onCore();
const step = () => {
  const now = onCore();
  if (now !== null) computed = Math.max(computed, now - before);
  before = now;
};
setInterval(step, STEP_MS).unref();

// Threads of the server load this as well, and talk to it alone.
process.channel?.unref();
process.on("message", () => {
  step();
  process.send({ waited: delay.max / 1e6, computed });
  delay.reset();
  computed = 0;
});
