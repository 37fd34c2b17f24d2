/**
 * What a cycle of loading and closing leaves in this process, and how much of it Node's worker threads and koffi leave
 * by themselves: resident kilobytes a cycle, after 20 that do not count.
 *
 *     npm run bench:load-cycles -- [cycles, default 60]
 *
 * One arena, as glibc otherwise gives threads heaps of their own, and which of them grows is chance. Each kind runs in
 * a process of its own.
 */
import { execFileSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { Worker } from "node:worker_threads";
import { load } from "../dist/index.js";

const model = fileURLToPath(new URL("../fixtures/qwen3_moe.gguf", import.meta.url));
const koffi = `const { default: koffi } = await import(${JSON.stringify(import.meta.resolve("koffi"))});`;
const thread = (code) => () =>
  new Promise((resolve, reject) => {
    const url = new URL(`data:text/javascript,${encodeURIComponent(code)}`);
    new Worker(url).on("exit", resolve).on("error", reject);
  });
const kinds = {
  "an empty thread": thread(""),
  "a thread that imports koffi": thread(koffi),
  "and registers a callback": thread(
    `${koffi} const type = koffi.pointer(koffi.proto("bool", ["uint64_t", "bool", "void *"]));
    koffi.unregister(koffi.register(() => true, type));`,
  ),
  "load and close": async () => {
    const llm = await load(model, { threads: 1, contextSize: 512 });
    await llm.close();
  },
};

const [kind, cycles] = [process.argv[3], Number(process.argv[2] ?? 60)];
if (kind) {
  for (let i = 0; i < 20; i++) await kinds[kind]();
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
