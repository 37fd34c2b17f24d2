/**
 * What importing the package and starting the command line take over starting Node alone, in milliseconds:
 *
 *     npm run bench:import -- [runs, default 11]
 *
 * Every run is a process of its own, in turns; the medians go to bench/results/import.json.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { median, write } from "./result.mjs";

const runs = Number(process.argv[2] ?? 11);
const from = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const commands = {
  node: ["-e", "0"],
  import: ["--input-type=module", "-e", `import ${JSON.stringify(from("dist/index.js"))}`],
  help: [from("dist/cli/main.js"), "--help"],
};

const times = Object.fromEntries(Object.keys(commands).map((name) => [name, []]));
for (let run = -1; run < runs; run++)
  for (const [name, args] of Object.entries(commands)) {
    const began = performance.now();
    execFileSync(process.execPath, args);
    if (run >= 0) times[name].push(performance.now() - began);
  }
/** The median of differences between runs that were neighbours in time: the machine's drift cancels. */
const over = (name) => Math.round(median(times[name].map((time, run) => time - times.node[run])));
write("import", { runs, node: Math.round(median(times.node)), import: over("import"), help: over("help") });
