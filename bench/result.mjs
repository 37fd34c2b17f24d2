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
