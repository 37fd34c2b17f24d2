/**
 * Router logits of the same prompts on the same weights and CPU: moescope beside Hugging Face transformers with
 * `output_router_logits=True`, both in float32 with the same threads. How many times as long transformers takes:
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
import { inTurns, medians, ratio, timed, write } from "./result.mjs";

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
const llm = await load(float32, { threads, kvType: "f32", contextSize: 1024, parallel: 1 });
const options = { streams: ["router_logits"] };
const first = llm.info.moe.layers[0];
const work = {
  "moescope prefill": () =>
    timed(async () => {
      const capture = await llm.capture(tokens, options);
      return [...capture.routerLogits.get(first).data.subarray(0, llm.info.moe.experts)];
    }),
  "transformers prefill": () => other.ask("prefill"),
  "moescope generate": () =>
    timed(async () => {
      const capture = await llm.capture(tokens[0], {
        ...options,
        maxTokens: generated,
        ignoreEos: true,
        temperature: 0,
      });
      return [...capture.outputs[0].tokens];
    }),
  "transformers generate": () => other.ask("generate"),
};
const all = await inTurns(work, runs);
await llm.close();
other.close();
rmSync(folder, { recursive: true });

// The same work is only the same if it gives the same numbers.
const [ours, theirs] = ["moescope", "transformers"].map((who) => all[`${who} prefill`][0].result);
const off = Math.max(...ours.map((logit, i) => Math.abs(logit - theirs[i])));
if (!(off < 1e-3)) throw new Error(`the router logits differ by ${off}`);
const same = all["moescope generate"][0].result.findIndex(
  (token, i) => token !== all["transformers generate"][0].result[i],
);
write(`transformers-${values.name}`, {
  model: { name: llm.info.name, parameters: llm.info.parameters, layers: llm.info.layers },
  threads,
  runs,
  prompts: `${prompts} of ${length} tokens; generation: ${generated} tokens after one of them`,
  routerLogitsDiffer: off,
  generatedTokensAgree: same < 0 ? generated : same,
  milliseconds: medians(all),
  transformersTakesTimes: {
    prefill: ratio(all, "transformers prefill", "moescope prefill"),
    generate: ratio(all, "transformers generate", "moescope generate"),
    "prefill, processor time": ratio(all, "transformers prefill", "moescope prefill", "cpu"),
    "generate, processor time": ratio(all, "transformers generate", "moescope generate", "cpu"),
  },
});
