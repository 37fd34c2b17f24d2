import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, loadavg } from "node:os";

export const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];

/** Print a benchmark's result and keep it in bench/results, with what it takes to judge it. */
export function write(name, result) {
  const machine = { cpu: cpus()[0].model, cores: cpus().length, load: loadavg()[0], node: process.version };
  const text = `${JSON.stringify({ ...result, machine }, null, 2)}\n`;
  const folder = new URL("results/", import.meta.url);
  mkdirSync(folder, { recursive: true });
  writeFileSync(new URL(`${name}.json`, folder), text);
  process.stdout.write(text);
}

/** One run's wall and processor time in milliseconds, all threads together. */
export async function timed(work) {
  const [began, used] = [performance.now(), process.cpuUsage()];
  const result = await work();
  const { user, system } = process.cpuUsage(used);
  return { wall: performance.now() - began, cpu: (user + system) / 1e3, result };
}

/**
 * Let the works take turns, once without counting.
 *
 * @param works by name; each gives `{ wall, cpu, result }`.
 * Each run's time goes to stderr as it ends.
 *
 * @returns all runs by name.
 */
export async function inTurns(works, runs) {
  const all = Object.fromEntries(Object.keys(works).map((name) => [name, []]));
  for (let run = -1; run < runs; run++)
    for (const [name, work] of Object.entries(works)) {
      const times = await work();
      process.stderr.write(
        `${run < 0 ? "warm-up" : `run ${run + 1} of ${runs}`}, ${name}: ${round(times.wall, 0)} ms\n`,
      );
      if (run >= 0) all[name].push(times);
    }
  return all;
}

/** Median milliseconds of each work, on the clock and of the processor. */
export const medians = (all) =>
  Object.fromEntries(
    Object.entries(all).map(([name, list]) => [
      name,
      {
        wall: round(median(list.map(({ wall }) => wall)), 1),
        cpu: round(median(list.map(({ cpu }) => cpu)), 1),
      },
    ]),
  );

/** The median of ratios of runs that were neighbours in time: the machine's drift cancels. */
export const ratio = (all, name, baseline, of = "wall") =>
  round(median(all[name].map((times, run) => times[of] / all[baseline][run][of])), 3);

export const round = (value, digits) => Number(value.toFixed(digits));
