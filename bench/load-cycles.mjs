/**
 * What a cycle of loading and closing leaves in this process, beside what a worker thread of Node leaves that does
 * nothing: resident kilobytes a cycle, after as many that do not count.
 *
 *     npm run bench:load-cycles -- [cycles, default 200]
 *
 * Each kind runs in a process of its own.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { load } from "../dist/index.js";

const model = fileURLToPath(new URL("../fixtures/qwen3_moe.gguf", import.meta.url));
const kinds = {
  "a thread that does nothing": () =>
    new Promise((resolve, reject) => {
      new Worker(new URL("data:text/javascript,")).on("exit", resolve).on("error", reject);
    }),
  "load and close": async () => {
    const llm = await load(model, { threads: 1, contextSize: 512 });
    await llm.close();
  },
};

const [kind, cycles] = [process.argv[3], Number(process.argv[2] ?? 200)];
if (kind) {
  for (let i = 0; i < cycles; i++) await kinds[kind]();
  globalThis.gc();
  const before = process.memoryUsage().rss;
  for (let i = 0; i < cycles; i++) await kinds[kind]();
  globalThis.gc();
  process.stdout.write(`${((process.memoryUsage().rss - before) / cycles / 1e3).toFixed(0)}`);
} else
  for (const name of Object.keys(kinds)) {
    const args = ["--expose-gc", fileURLToPath(import.meta.url), String(cycles), name];
    console.log(`${name}: ${execFileSync(process.execPath, args)} kB`);
  }
