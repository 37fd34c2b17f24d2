// Attacks `moescope serve` with the demo model as a stranger would, with the big counts, and says how it held out:
// what each was answered, how long the longest other request waited meanwhile, how long the event loop was held up at
// most (on the clock, and of that on a core), and the memory at the end. `npm run attack:server -- SECTION...` runs some
// of: bodies, questions, connections, crowd.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { makeLargeFolder } from "./large-folder.mjs";

const SECTIONS = process.argv.slice(2);
const wanted = (section) => SECTIONS.length === 0 || SECTIONS.includes(section);
const folder = mkdtempSync(join(tmpdir(), "moescope-attack-"));
const GIB = 0.25;
const rows = wanted("questions") ? await makeLargeFolder(join(folder, "large"), GIB) : 0;

const child = spawn(
  process.execPath,
  ["--import", new URL("loop-delay.mjs", import.meta.url).href, "dist/cli/main.js", "serve", folder].concat([
    "models/demo/demo-moe.gguf",
    "--no-open",
    "--port",
    "0",
  ]),
  { stdio: ["ignore", "pipe", "inherit", "ipc"] },
);
child.once("exit", (code) => code !== null && process.exit(code));
let output = "";
child.stdout.on("data", (chunk) => {
  output += chunk;
});
while (!/Ctrl-C/.test(output)) await new Promise((resolve) => setTimeout(resolve, 50));
const { origin, port } = new URL(/http:\/\/\S+/.exec(output)[0]);

/** Resident megabytes of the server; the most it ever had. */
const memory = (field) =>
  Math.round(
    Number(new RegExp(`${field}:\\s+(\\d+)`).exec(readFileSync(`/proc/${child.pid}/status`, "utf8"))[1]) /
      1024,
  );

/** Another client, in a thread of its own, who only wants to know what is there: how long it waits at most. */
const other = new Worker(
  `const { parentPort, workerData } = require("node:worker_threads");
  let longest = 0;
  parentPort.on("message", () => { parentPort.postMessage(longest); longest = 0; });
  (async () => {
    for (;;) {
      const begun = performance.now();
      await (await fetch(workerData + "/api/jobs")).text();
      longest = Math.max(longest, performance.now() - begun);
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
  })().catch(() => {});`,
  { eval: true, workerData: origin },
);
/** The longest wait since it was last asked, ms. */
const longest = async () => {
  other.postMessage("?");
  return Math.round((await once(other, "message"))[0]);
};

/** What the server's event loop was held up by at most since it was last asked, ms. */
const held = async () => {
  child.send("?");
  const [{ waited, computed }] = await once(child, "message");
  return { waited: Math.round(waited), computed: Math.round(computed) };
};

/** Does something to the server and prints how it went. */
async function watch(name, work) {
  await longest();
  await held();
  const begun = performance.now();
  const answer = await work();
  const ms = Math.round(performance.now() - begun);
  const { waited, computed } = await held();
  console.log(
    `${name.padEnd(40)} ${String(answer).padEnd(12)} ${String(ms).padStart(6)} ms, others waited ${String(await longest()).padStart(4)} ms, ` +
      `event loop ${String(waited).padStart(4)} ms (${String(computed).padStart(3)} on a core), ${memory("VmRSS")} MB`,
  );
}

/** What a request was answered, after all of the answer was taken. */
const ask = (path, options = {}) =>
  fetch(origin + path, { signal: AbortSignal.timeout(120_000), ...options }).then(
    async (response) => {
      await response.arrayBuffer();
      return response.status;
    },
    (error) => error.cause?.code ?? error.message,
  );
const post = (path, body) =>
  ask(path, { method: "POST", headers: { "content-type": "application/json" }, body });

const many = (count, item) => `[${Array(count).fill(item).join()}]`;
const keys = (count) => Array.from({ length: count }, (_, i) => `"k${i}":0`).join();
const chat = (content) => `{"messages":[{"role":"user","content":${content}}]}`;
const ATTACKS = [
  ["15 MB of one-letter prompts", "/v1/completions", () => `{"prompt":${many(3_900_000, '"a"')}}`],
  ["300,000 prompts", "/v1/completions", () => `{"prompt":${many(300_000, '"a"')}}`],
  ["300,000 texts to embed", "/v1/embeddings", () => `{"input":${many(300_000, '"a"')}}`],
  ["300,000 prompts to capture", "/api/captures", () => `{"prompts":${many(300_000, '{"prompt":"a"}')}}`],
  [
    "300,000 messages",
    "/v1/chat/completions",
    () => `{"messages":${many(300_000, '{"role":"user","content":"a"}')}}`,
  ],
  ["299,000 numbers as messages", "/v1/chat/completions", () => `{"messages":${many(299_000, "1")}}`],
  ["299,000 token ids", "/v1/completions", () => `{"prompt":${many(299_000, "1")}}`],
  ["3,000,000 token ids", "/v1/completions", () => `{"prompt":${many(3_000_000, "1")}}`],
  ["900,000 keys", "/v1/completions", () => `{"prompt":"a",${keys(900_000)}}`],
  ["JSON 5,000,000 deep", "/v1/completions", () => `{"prompt":${"[".repeat(5_000_000)}`],
  ["objects 1,000,000 deep", "/v1/chat/completions", () => '{"a":'.repeat(1_000_000)],
  ["8 MB of one text", "/v1/completions", () => JSON.stringify({ prompt: "a".repeat(8_000_000) })],
  ["8 MB of one message", "/v1/chat/completions", () => chat(JSON.stringify("a b ".repeat(2_000_000)))],
  ["8 MB of escapes", "/v1/completions", () => `{"prompt":"${"\\u00e9".repeat(1_300_000)}"}`],
  ["100 MB", "/v1/completions", () => `"${"a".repeat(100_000_000)}"`],
  ["2,048 prompts, all answered", "/v1/completions", () => `{"prompt":${many(2048, '"a"')},"max_tokens":1}`],
];
const id = async () =>
  (await (await fetch(`${origin}/api/captures`)).json()).captures.find((each) => each.rows === rows).id;

/** Every question there is about a large capture, the slow ones first time and from what is kept. */
async function questions() {
  const large = `/api/captures/${await id()}`;
  for (const path of [
    "",
    "/rows?limit=1000",
    "/rows?text=7&limit=1000",
    `/rows?from=${rows - 10}&limit=10`,
    ...["sample", "position", "token_id", "phase"].map((column) => `/rows/${column}`),
    "/vocabulary",
    "/tokens/5",
    `/tokens/${rows - 1}`,
    "/streams/router_logits/0?from=0&to=20000",
    "/streams/router_logits/23",
    "/streams/expert_ids/12",
    "/usage",
    "/balance",
    "/map",
    "/map/entropy/0/0",
    "/map/margin/6/0",
    "/map/top_expert/3/1",
    "/experts/3/0/0",
    "/experts/3/5/0",
    "/coactivation/3",
    "/similarity/3/7",
    "/analysis",
    "/analysis/3",
    "/atlas",
  ])
    for (const time of ["", ", again"])
      await watch(`GET ${path || "the capture"}${time}`, () => ask(large + path));
  const twice = `a=${await id()}&b=${await id()}`;
  await watch("GET /api/compare with itself", () => ask(`/api/compare?${twice}`));
  await watch("GET /api/captures", () => ask("/api/captures"));
}

/** 3,000 connections that send half a request each. */
async function slowConnections() {
  const slow = Array.from({ length: 3000 }, () => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write("GET / HTTP/1.1\r\nHo");
    return socket;
  });
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const alive = slow.filter(({ destroyed }) => !destroyed).length;
  for (const socket of slow) socket.destroy();
  return `${alive} left`;
}

/** Large requests at once, and what they were answered. */
async function crowd() {
  const body = JSON.stringify({ prompt: "a".repeat(7_000_000) });
  const counts = {};
  for (const status of await Promise.all(Array.from({ length: 40 }, () => post("/v1/completions", body))))
    counts[status] = (counts[status] ?? 0) + 1;
  return JSON.stringify(counts);
}

try {
  await watch("nothing", () => new Promise((resolve) => setTimeout(resolve, 2000, "-")));
  if (wanted("bodies"))
    for (const [name, path, make] of ATTACKS) {
      const body = make();
      await watch(name, () => post(path, body));
    }
  if (wanted("questions")) await questions();
  if (wanted("connections")) await watch("3,000 slow connections", slowConnections);
  if (wanted("crowd")) await watch("40 x 7 MB at once", crowd);
  console.log(`the most memory ever: ${memory("VmHWM")} MB`);
} finally {
  await other.terminate();
  child.kill("SIGTERM");
  rmSync(folder, { recursive: true });
}
