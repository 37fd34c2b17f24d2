/**
 * What many captures and many requests leave in a process: resident memory, open files and threads over time, of this
 * process or `moescope serve`, and of the process that llama.cpp runs in.
 *
 *     npm run soak -- [captures, default 2000] [requests, default 5000]
 */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { load } from "../dist/index.js";

const [CAPTURES, REQUESTS] = [Number(process.argv[2] ?? 2000), Number(process.argv[3] ?? 5000)];
const LINES = 10;
const model = fileURLToPath(new URL("../models/demo/demo-moe.gguf", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "moescope-soak-"));

/** What the system says of a process. */
function look(pid) {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  const field = (name) => Number(new RegExp(`^${name}:\\s+(\\d+)`, "m").exec(status)[1]);
  const mb = Math.round(field("VmRSS") / 1024);
  return `${mb} MB, ${readdirSync(`/proc/${pid}/fd`).length} files, ${field("Threads")} threads`;
}

const childrenOf = (pid) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);

/** Does something so many times, and looks at the process every so often. */
async function soak(what, times, pid, work) {
  for (let i = 0; i <= times; i++) {
    if (i % Math.max(1, Math.floor(times / LINES)) === 0)
      console.log(
        `${String(i).padStart(5)} ${what}: ${look(pid)}; its children: ${childrenOf(pid).map(look).join(" | ") || "none"}`,
      );
    if (i < times) await work(i);
  }
}

async function captures() {
  const llm = await load(model, { threads: 1, contextSize: 256 });
  const into = join(folder, "capture");
  await soak("captures", CAPTURES, process.pid, async (i) => {
    // Some in memory, some in a folder, some streamed, some left, some wrong.
    if (i % 5 === 0)
      await llm.capture("The router sent", { streams: ["router_logits", "hidden_states"], into });
    else if (i % 5 === 1) for await (const _ of llm.stream("each token", { maxTokens: 2 })) break;
    else if (i % 5 === 2) await llm.capture("x", { signal: AbortSignal.abort() }).catch(() => {});
    else if (i % 5 === 3) await llm.capture([9_999_999], {}).catch(() => {});
    else await llm.capture(["to its experts", "and back"], { maxTokens: 2 });
    rmSync(into, { recursive: true, force: true });
  });
  await llm.close();
  console.log(`closed: ${look(process.pid)}`);
}

async function requests() {
  const args = ["dist/cli/main.js", "serve", model, folder, "--no-open", "--port", "0", "--context", "256"];
  const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  try {
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    while (!/Ctrl-C/.test(output)) {
      if (child.exitCode !== null) throw new Error(`serve ended with ${child.exitCode}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    const { origin } = new URL(/http:\/\/\S+/.exec(output)[0]);
    const post = (path, body, signal) =>
      fetch(origin + path, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify(body),
        signal,
      }).then((response) => response.arrayBuffer());
    const chat = { messages: [{ role: "user", content: "hi" }], max_tokens: 2 };
    await soak("requests", REQUESTS, child.pid, async (i) => {
      if (i % 5 === 0) await post("/v1/completions", { prompt: `number ${i}`, max_tokens: 2 });
      else if (i % 5 === 1) await post("/v1/chat/completions", { ...chat, stream: true });
      else if (i % 5 === 2) await (await fetch(`${origin}/api/captures`)).arrayBuffer();
      else if (i % 5 === 3) await post("/v1/completions", { prompt: [] });
      // A client that leaves.
      else
        await post("/v1/completions", { prompt: "a b c", max_tokens: 50 }, AbortSignal.timeout(5)).catch(
          () => {},
        );
    });
  } finally {
    child.kill("SIGTERM");
  }
}

try {
  if (CAPTURES > 0) await captures();
  if (REQUESTS > 0) await requests();
} finally {
  rmSync(folder, { recursive: true });
}
