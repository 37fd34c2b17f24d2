/** How often the clock is looked at until a deadline. */
const LOOKS = 10;
/** The longest that a timer takes, in milliseconds. */
const MAX_MS = 2 ** 31 - 1;

/**
 * Call `late` once so many milliseconds have passed, unless `clearInterval` comes first. Time in which this program did
 * not run (Ctrl-Z, a laptop that sleeps) counts for a tenth of it at most: what it waits for did not run either.
 */
export function deadline(ms: number, late: () => void): NodeJS.Timeout {
  let left = LOOKS;
  const timer = setInterval(
    () => {
      if (--left > 0) return;
      clearInterval(timer);
      late();
    },
    Math.min(Math.max(1, ms / LOOKS), MAX_MS),
  );
  return timer;
}

/**
 * The longest that a step of a run may take before its engine counts as hung, in milliseconds, where the user says
 * nothing: ten minutes, and a second for each 10 MB of the model, as a step of one that does not fit into memory reads
 * it from a slow disk.
 */
export const stepTimeoutFor = (modelBytes: number): number => 600_000 + modelBytes / 10_000;
