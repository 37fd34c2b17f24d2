/**
 * What capturing costs: decode and prefill with capture over the same engine without, and generation over a bare loop
 * on the same libraries. Prints JSON: medians of interleaved runs and their ratios.
 *
 *     npm run bench -- MODEL.gguf [--threads 2] [--runs 7] [--tokens 200] [--gpu cuda] [--only decode]
 */
import { parseArgs } from "node:util";
import type { RunEnd, Sink } from "../src/core/sink.ts";
import type { GpuChoice } from "../src/engines/llama/native/gpu.ts";
import { load } from "../src/run/load.ts";
import { BareLoop } from "./bare-loop.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: "string" },
    runs: { type: "string" },
    tokens: { type: "string" },
    gpu: { type: "string" },
    // Cases whose name has this in it, beside what they are compared with.
    only: { type: "string", default: "" },
  },
});
const path = positionals[0] ?? "models/demo/demo-moe.gguf";
const threads = Number(values.threads ?? 2);
const runs = Number(values.runs ?? 7);
const generated = Number(values.tokens ?? 200);
const gpu = (values.gpu ?? false) as GpuChoice;
const contextSize = 1024;
const llm = await load(path, { threads, contextSize, parallel: 1, gpu });
const bare = new BareLoop(path, { threads, contextSize, gpu });
const tokens = (count: number) => Int32Array.from({ length: count }, (_, i) => 10 + ((i * 37) % 4000));
const short = tokens(16);
const long = tokens(1000);

/** Takes the rows and drops them: the cost of keeping them is not what is measured. */
const drop: Sink<RunEnd> = { open() {}, write() {}, close: (end) => end };
const nothing = { streams: [], select: { positions: [] } };
const decode = (what: object) => () =>
  llm.capture(short, { maxTokens: generated, ignoreEos: true, into: drop, ...what });
/** One token is drawn, as who runs a prompt wants one; without, moescope would leave out what comes after the last row captured. */
const prefill = (what: object) => () =>
  llm.capture(long, { maxTokens: 1, ignoreEos: true, into: drop, ...what });
/** Rows of a prompt, and nothing else. */
const rows = (what: object) => () => llm.capture(long, { into: drop, ...what });
const logits = { streams: ["router_logits"] };
const four = { streams: ["router_logits", "expert_ids", "expert_weights", "hidden_states"] };
const all: Record<string, () => unknown> = {
  "bare loop": () => bare.generate(short, generated),
  "decode, no capture": decode(nothing),
  "decode, router_logits": decode(logits),
  "decode, four streams": decode(four),
  "prefill, no capture": prefill(nothing),
  "prefill, router_logits": prefill(logits),
  "prefill, router_logits but the last layer": prefill({
    ...logits,
    layers: llm.info.moe!.layers.slice(0, -1),
  }),
  "prefill, four streams": prefill(four),
  "rows of a prompt, router_logits": rows(logits),
  "rows of a prompt, four streams": rows(four),
  "rows of a prompt, router_logits of the first layers": rows({
    ...logits,
    layers: llm.info.moe!.layers.slice(0, llm.info.layers / 3),
  }),
};
const baselineOf = (name: string) =>
  name === "decode, no capture"
    ? "bare loop"
    : `${name.startsWith("decode") ? "decode" : "prefill"}, no capture`;
const asked = Object.keys(all).filter((name) => name.includes(values.only));
const cases = Object.fromEntries(
  Object.entries(all).filter(([name]) => asked.some((of) => name === of || name === baselineOf(of))),
);
const times: Record<string, number[]> = Object.fromEntries(Object.keys(cases).map((name) => [name, []]));
for (let run = 0; run < runs; run++)
  for (const [name, work] of Object.entries(cases)) {
    // A first time finds the other copy's pages in the caches and builds a graph for what it captures; the second is steady.
    await work();
    const start = performance.now();
    await work();
    times[name]!.push(performance.now() - start);
  }
await llm.close();
bare.close();

const median = (list: readonly number[]) => [...list].sort((a, b) => a - b)[list.length >> 1]!;
/** The median of ratios of runs that were neighbours in time: the machine's drift cancels. */
const ratio = (name: string, baseline: string) =>
  Number(median(times[name]!.map((time, i) => time / times[baseline]![i]!)).toFixed(3));
const result = {
  model: { path, name: llm.info.name, megabytes: Math.round(llm.info.bytes / 1e6), layers: llm.info.layers },
  devices: llm.devices,
  threads,
  runs,
  milliseconds: Object.fromEntries(
    Object.entries(times).map(([name, list]) => [name, Number(median(list).toFixed(1))]),
  ),
  ratios: Object.fromEntries(
    Object.keys(cases)
      .filter((name) => name !== baselineOf(name) && baselineOf(name) in cases && name !== "bare loop")
      .map((name) => [
        name === "decode, no capture" ? "generation over a bare loop" : name,
        ratio(name, baselineOf(name)),
      ]),
  ),
};
console.log(JSON.stringify(result, null, 2));
