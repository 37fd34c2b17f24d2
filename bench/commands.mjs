/**
 * What `moescope analyze` and `report` take on captures of a large model (48 layers, 128 experts, top-8): computed, and
 * with the facts that the first one kept in the folder:
 *
 *     npm run bench:commands -- [cases, default all: small many-labels large]
 *
 * Writes each folder and removes it. Each command is a process of its own. Prints JSON and keeps it in
 * bench/results/commands.json.
 */

import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { makeFolder } from "./large-folder.mjs";
import { round, write } from "./result.mjs";

const MODEL = { layers: 48, experts: 128, topK: 8 };

/** Rows of so many texts from `least` to `most`, most of them short; drawn alike each time. */
const spread = (texts, least, most) =>
  Array.from({ length: texts }, (_, i) => Math.round(least * (most / least) ** (((i * 0.618034) % 1) ** 3)));

const CASES = {
  small: { labels: 7, lengths: new Array(70).fill(57) },
  "many-labels": { labels: 70, lengths: spread(280, 5, 5000) },
  large: { labels: 7, lengths: new Array(400).fill(250) },
};

const [first, ...rest] = process.argv.slice(2);
if (first === "--run") await runHere(rest);
else {
  const temporary = mkdtempSync(join(tmpdir(), "moescope-bench-"));
  // The key that kept facts are signed with is made there.
  process.env.XDG_DATA_HOME = join(temporary, "data");
  try {
    const names = first ? [first, ...rest] : Object.keys(CASES);
    const results = {};
    for (const name of names) results[name] = await measured(name, temporary);
    write("commands", { ...MODEL, results });
  } finally {
    rmSync(temporary, { recursive: true });
  }
}

async function measured(name, temporary) {
  const { labels, lengths } = CASES[name];
  const folder = join(temporary, name);
  await makeFolder(folder, { ...MODEL, labels }, lengths);
  const run = (title, ...command) => {
    const usage = join(temporary, "usage.json");
    const script = fileURLToPath(import.meta.url);
    const { status, stdout, stderr } = spawnSync(process.execPath, [script, "--run", usage, ...command], {
      maxBuffer: 2 ** 30,
    });
    if (status !== 0) throw new Error(`${command.join(" ")}: ${stderr}`);
    const result = { ...JSON.parse(readFileSync(usage, "utf8")), printedBytes: stdout.length };
    process.stderr.write(`${name}, ${title}: ${JSON.stringify(result)}\n`);
    return result;
  };
  const rows = lengths.reduce((sum, n) => sum + n, 0);
  const found = {
    ...{ rows, labels, texts: lengths.length },
    "analyze --json": run("computed", "analyze", folder, "--json"),
    "analyze --json, kept": run("kept", "analyze", folder, "--json"),
    "analyze --json --full, kept": run("all, kept", "analyze", folder, "--json", "--full"),
    "report, kept": run("report, kept", "report", folder, "-o", join(temporary, "report.html")),
  };
  rmSync(folder, { recursive: true });
  return found;
}

/** A command in this process, with what it took in a file. */
async function runHere([usage, ...command]) {
  process.argv = [process.argv[0], "moescope", ...command];
  process.on("exit", () => {
    const { user, system } = process.cpuUsage();
    writeFileSync(
      usage,
      JSON.stringify({
        seconds: round(performance.now() / 1e3, 1),
        cpuSeconds: round((user + system) / 1e6, 1),
        // Kilobytes on Linux and macOS, says libuv.
        peakMiB: round(process.resourceUsage().maxRSS / 1024, 0),
      }),
    );
  });
  await import("../dist/cli/main.js");
}
