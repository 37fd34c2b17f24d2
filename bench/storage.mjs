/**
 * Writing a capture folder beside `dd` on the same disk, and reading one layer of it beside Python's safetensors:
 *
 *     npm run bench:storage -- [megabytes, default 1000] [runs, default 5] [folder, default the system's temporary one]
 *
 * `dd` writes as many bytes and flushes them once; moescope flushes every shard. Reading is from the page cache for
 * both, each in its own process. Then corpora of growing size with shards of 64 KiB: the bytes that are written over those of
 * the rows. Prints JSON and keeps it in bench/results/storage.json.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FolderSink, openCapture } from "../dist/index.js";
import { python } from "./python.mjs";
import { inTurns, medians, ratio, timed, write } from "./result.mjs";
import { writtenPerByte } from "./written-bytes.mjs";

const [megabytes, runs] = [Number(process.argv[2] ?? 1000), Number(process.argv[3] ?? 5)];
const folder = mkdtempSync(join(process.argv[4] ?? tmpdir(), "moescope-bench-"));
const [layers, width, rowsAStep] = [16, 1024, 512];
const layer = 5;
const steps = Math.round((megabytes * 1e6) / (layers * width * 4 * rowsAStep));
const rows = steps * rowsAStep;

const numbers = Array.from({ length: layers }, (_, i) => i);
const info = { name: "none", source: "none", architecture: "none", quantization: "none", moe: null };
const sizes = { layers, hiddenSize: width, vocabSize: 1, contextLength: 1, parameters: 0, bytes: 0 };
const header = {
  engine: { kind: "none", version: "" },
  model: { ...info, ...sizes },
  streams: [{ name: "hidden_states", layers: numbers }],
  samples: Array.from({ length: steps }, () => ({ label: null, promptTokens: rowsAStep })),
  tokenText: () => "a",
};
const values = new Map(
  numbers.map((i) => [i, Float32Array.from({ length: rowsAStep * width }, (_, j) => Math.sin(i + j))]),
);

let written = 0;
async function capture() {
  rmSync(join(folder, `run${written}`), { recursive: true, force: true });
  written++;
  const sink = new FolderSink(join(folder, `run${written}`));
  await sink.open(header);
  for (let step = 0; step < steps; step++) {
    const sample = new Int32Array(rowsAStep).fill(step);
    const position = Int32Array.from({ length: rowsAStep }, (_, i) => i);
    const labels = { sample, position, tokenId: new Int32Array(rowsAStep), phase: new Uint8Array(rowsAStep) };
    await sink.write({ rows: rowsAStep, ...labels, streams: new Map([["hidden_states", values]]) });
  }
  await sink.close({ finished: [] });
}

const dd = () => {
  const blocks = Math.round((rows * layers * width * 4) / 2 ** 20);
  const file = join(folder, "dd");
  rmSync(file, { force: true });
  execFileSync("dd", ["if=/dev/zero", `of=${file}`, "bs=1M", `count=${blocks}`, "conv=fdatasync"], {
    stdio: "ignore",
  });
};

const writing = await inTurns({ moescope: () => timed(capture), dd: () => timed(dd) }, runs);
rmSync(join(folder, "dd"), { force: true });

const run = join(folder, `run${written}`);
const other = python("storage.py", run, layer);
await other.ready();
const read = async () => {
  const { data } = (await openCapture(run)).hiddenStates.get(layer);
  return { values: data.length, first: data[1], last: data.at(-1) };
};
const reading = await inTurns({ moescope: () => timed(read), safetensors: () => other.ask("read") }, runs);
other.close();
rmSync(folder, { recursive: true });
const [ours, theirs] = [reading.moescope[0].result, reading.safetensors[0].result];
if (JSON.stringify(ours) !== JSON.stringify(theirs)) throw new Error("safetensors reads other values");

const written64KiB = {};
for (const samples of [2000, 4000, 8000, 16_000])
  written64KiB[`${samples} samples`] = await writtenPerByte(samples, 2 ** 16, process.argv[4]);

write("storage", {
  megabytes: Math.round((rows * layers * width * 4) / 1e6),
  layers,
  width,
  runs,
  milliseconds: { writing: medians(writing), reading: medians(reading) },
  ratios: {
    "speed of writing, of dd's": ratio(writing, "dd", "moescope"),
    "time of opening and reading a layer, over safetensors": ratio(reading, "moescope", "safetensors"),
    "bytes written, over those of the rows, shards of 64 KiB": written64KiB,
    "bytes written, over those of the rows, shards as by default": await writtenPerByte(16_000),
  },
});
