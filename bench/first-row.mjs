/**
 * Time from a command to the first captured row on the demo model, and that of the whole `moescope capture`, in
 * milliseconds beside Node's own start; and, once the model is loaded, from the call with thousands of short prompts to
 * its first step:
 *
 *     npm run bench:first-row -- [runs, default 9]
 *
 * Every run is a process of its own, in turns; the medians go to bench/results/first-row.json.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { median, write } from "./result.mjs";

const runs = Number(process.argv[2] ?? 9);
const from = (path) => fileURLToPath(new URL(`../${path}`, import.meta.url));
const model = from("models/demo/demo-moe.gguf");
const script = `
  import { load } from ${JSON.stringify(from("dist/index.js"))};
  const llm = await load(${JSON.stringify(model)});
  for await (const { streams } of llm.stream("The capital of France is")) {
    console.log(streams.get("router_logits").get(0).length);
    break;
  }
  await llm.close();
`;
const PROMPTS = 5000;
const manyScript = `
  import { load } from ${JSON.stringify(from("dist/index.js"))};
  const llm = await load(${JSON.stringify(model)});
  await llm.capture("The capital of France is");
  const prompts = Array.from({ length: ${PROMPTS} }, (_, i) => "The capital of country number " + i + " is");
  const began = performance.now();
  for await (const _ of llm.stream(prompts, { streams: ["expert_ids"] })) {
    console.log(performance.now() - began);
    break;
  }
  await llm.close();
`;
const commands = {
  node: ["-e", "console.log()"],
  firstRow: ["--input-type=module", "-e", script],
  manyPrompts: ["--input-type=module", "-e", manyScript],
  wholeCommand: [from("dist/cli/main.js"), "capture", model, "The capital of France is", "--json"],
};

const UNTIL = { wholeCommand: "end", manyPrompts: "said" };

/** Until the first output, to the end, or what the output says. */
async function elapsed(args, until) {
  const began = performance.now();
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const closed = once(child, "close");
  const [said] = await once(child.stdout, "data");
  const first = performance.now() - began;
  child.stdout.resume();
  const [code] = await closed;
  if (code !== 0) throw new Error(`${args.join(" ")} ended with ${code}`);
  if (until === "said") return Number(said);
  return until === "end" ? performance.now() - began : first;
}

const times = Object.fromEntries(Object.keys(commands).map((name) => [name, []]));
for (let run = -1; run < runs; run++)
  for (const [name, args] of Object.entries(commands)) {
    const time = await elapsed(args, UNTIL[name]);
    if (run >= 0) times[name].push(time);
  }
write("first-row", {
  runs,
  prompts: PROMPTS,
  milliseconds: Object.fromEntries(
    Object.entries(times).map(([name, list]) => [name, Math.round(median(list))]),
  ),
});
