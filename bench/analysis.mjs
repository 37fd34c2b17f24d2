/**
 * Time and peak memory of `analyzeCapture` over a large folder, on one thread and on all:
 *
 *     npm run bench:analysis -- [GiB, default 2] [threads, default one a core] [permutations, default 4999]
 *
 * Writes a folder of that size for a model of 24 layers, 128 experts, top-8, and removes it. Each run is a process of
 * its own, as a peak never falls: `opening` reads the labels and does no more, `reading` reads all values once as the
 * analysis does, without doing anything with them. `cpuSeconds` is of all threads together and changes less than
 * `seconds` where others use the machine. Fewer permutations show what reading and counting cost. Prints JSON and
 * keeps it in bench/results/analysis.json.
 */

import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { analyzeCapture } from "../dist/analysis.js";
import { openCapture } from "../dist/index.js";
import { makeLargeFolder, SHAPE } from "./large-folder.mjs";
import { round, timed, write } from "./result.mjs";

/** Rows the analysis reads at a time. */
const CHUNK_ROWS = 4096;

async function read(capture) {
  for (const name of capture.streams)
    for (const layer of capture.stream(name).keys())
      for (let from = 0; from < capture.rows.length; from += CHUNK_ROWS)
        capture.stream(name).rows(layer, from, Math.min(capture.rows.length, from + CHUNK_ROWS));
}

async function measure(kind, folder, permutations) {
  const { wall, cpu } = await timed(async () => {
    const capture = await openCapture(folder);
    if (kind === "reading") await read(capture);
    else if (kind !== "opening") await analyzeCapture(capture, { threads: Number(kind), permutations });
  });
  // Kilobytes on Linux and macOS, says libuv.
  const peak = process.resourceUsage().maxRSS / 1024;
  const result = { seconds: round(wall / 1e3, 1), cpuSeconds: round(cpu / 1e3, 1), peakMiB: round(peak, 0) };
  console.log(JSON.stringify(result));
}

const [first, second, third] = process.argv.slice(2);
const permutations = Number(third ?? 4999);
if (second?.startsWith("/")) await measure(first, second, permutations);
else {
  const gib = Number(first ?? 2);
  const threads = Number(second ?? availableParallelism());
  const temporary = mkdtempSync(join(tmpdir(), "moescope-bench-"));
  try {
    const folder = join(temporary, "run");
    const rows = await makeLargeFolder(folder, gib);
    const run = (kind) => {
      const script = fileURLToPath(import.meta.url);
      const output = execFileSync(process.execPath, [script, `${kind}`, folder, `${permutations}`]);
      process.stderr.write(`${kind}: ${output}`);
      return JSON.parse(output);
    };
    const [opening, reading, all, one] = [run("opening"), run("reading"), run(threads), run(1)];
    const ratios = {
      "speed on all threads, of one": round(one.seconds / all.seconds, 2),
      "time of one thread over reading alone": round(one.seconds / reading.seconds, 2),
    };
    write("analysis", { gib, rows, ...SHAPE, threads, permutations, opening, reading, one, all, ratios });
  } finally {
    rmSync(temporary, { recursive: true });
  }
}
