/**
 * Router logits of the same prompts on the same weights and CPU: moescope beside Hugging Face transformers with
 * `output_router_logits=True`, both in float32 with the same threads, and moescope on the file as it is (in half
 * precision, say, for which transformers has no fast kernels on most CPUs). How many times as long transformers takes,
 * and, as a limit to that, how much of what the processor's matrix products reach each of them gets:
 *
 *     npm run bench:transformers -- [MODEL.gguf, default the demo model] [--threads 2] [--runs 5] [--name demo]
 *
 * Prints JSON and keeps it in bench/results/transformers-NAME.json. Python packages: bench/requirements.txt.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { load } from "../dist/index.js";
import { python } from "./python.mjs";
import { inTurns, median, medians, ratio, round, timed, write } from "./result.mjs";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    threads: { type: "string", default: "2" },
    runs: { type: "string", default: "5" },
    name: { type: "string", default: "demo" },
  },
});
const model = positionals[0] ?? "models/demo/demo-moe.gguf";
const [threads, runs] = [Number(values.threads), Number(values.runs)];
// Small enough to end in three minutes on two busy cores.
const [prompts, length, generated] = [2, 128, 24];

const folder = mkdtempSync(join(tmpdir(), "moescope-bench-"));
const tokens = Array.from({ length: prompts }, (_, prompt) =>
  Array.from({ length }, (_, i) => 10 + ((i * 37 + prompt * 101) % 4000)),
);
const [float32, ids] = [join(folder, "model.gguf"), join(folder, "tokens.json")];
writeFileSync(ids, JSON.stringify(tokens));
const other = python("hf_transformers.py", model, float32, threads, ids, generated);
await other.ready();
const settings = { threads, contextSize: 1024 };
const llm = await load(float32, { ...settings, kvType: "f32" });
const asItIs = await load(model, settings);
const options = { streams: ["router_logits"] };
const first = llm.info.moe.layers[0];
const prefill = (llm) => () =>
  timed(async () => {
    const capture = await llm.capture(tokens, options);
    return [...capture.routerLogits.get(first).data.subarray(0, llm.info.moe.experts)];
  });
const generate = (llm) => () =>
  timed(async () => {
    const run = { ...options, maxTokens: generated, ignoreEos: true, temperature: 0 };
    return [...(await llm.capture(tokens[0], run)).outputs[0].tokens];
  });
const work = {
  "moescope prefill": prefill(llm),
  "transformers prefill": () => other.ask("prefill"),
  "moescope prefill, file as it is": prefill(asItIs),
  "moescope generate": generate(llm),
  "transformers generate": () => other.ask("generate"),
  "moescope generate, file as it is": generate(asItIs),
  peak: () => other.ask("peak"),
};
const all = await inTurns(work, runs);
const { result: gflop } = await other.ask("prefill work");
await llm.close();
await asItIs.close();
other.close();
rmSync(folder, { recursive: true });

// The same work is only the same if it gives the same numbers.
const [ours, theirs] = ["moescope", "transformers"].map((who) => all[`${who} prefill`][0].result);
const off = Math.max(...ours.map((logit, i) => Math.abs(logit - theirs[i])));
const scale = Math.max(...theirs.map(Math.abs));
if (!(off < 1e-3 * scale)) throw new Error(`the router logits differ by ${off}, the largest is ${scale}`);
const same = all["moescope generate"][0].result.findIndex(
  (token, i) => token !== all["transformers generate"][0].result[i],
);
const speed = (name) => round(gflop / (median(all[name].map(({ wall }) => wall)) / 1e3), 1);
write(`transformers-${values.name}`, {
  model: { name: llm.info.name, parameters: llm.info.parameters, layers: llm.info.layers },
  threads,
  runs,
  prompts: `${prompts} of ${length} tokens; generation: ${generated} tokens after one of them`,
  routerLogitsDiffer: off,
  largestRouterLogit: scale,
  generatedTokensAgree: same < 0 ? generated : same,
  milliseconds: medians(all),
  transformersTakesTimes: {
    prefill: ratio(all, "transformers prefill", "moescope prefill"),
    generate: ratio(all, "transformers generate", "moescope generate"),
    "prefill, file as it is": ratio(all, "transformers prefill", "moescope prefill, file as it is"),
    "generate, file as it is": ratio(all, "transformers generate", "moescope generate, file as it is"),
  },
  gflops: {
    "matrix products": round(median(all.peak.map(({ result }) => result)), 1),
    "moescope prefill": speed("moescope prefill"),
    "transformers prefill": speed("transformers prefill"),
  },
});
