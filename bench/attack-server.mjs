// Attacks `moescope serve` with the demo model as a stranger would, with the big counts, and says how it held out:
// what each was answered, how long the longest other request waited meanwhile, and the memory at the end.
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { connect } from "node:net";
import { Worker } from "node:worker_threads";

const child = spawn(process.execPath, ["dist/cli/main.js", "serve", "--no-open", "--port", "0"], {
  stdio: ["ignore", "pipe", "inherit"],
});
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
try {
  for (const [name, path, make] of ATTACKS) {
    const body = make();
    await longest();
    const begun = performance.now();
    const answer = await fetch(origin + path, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
      signal: AbortSignal.timeout(60_000),
    }).then(
      async (response) => {
        await response.text();
        return response.status;
      },
      (error) => error.cause?.code ?? error.message,
    );
    const ms = Math.round(performance.now() - begun);
    console.log(
      `${name.padEnd(30)} ${String(answer).padEnd(6)} ${String(ms).padStart(6)} ms, others waited ${String(await longest()).padStart(4)} ms, ${memory("VmRSS")} MB`,
    );
  }
  await longest();
  const slow = Array.from({ length: 3000 }, () => {
    const socket = connect(port, "127.0.0.1");
    socket.on("error", () => {});
    socket.write("GET / HTTP/1.1\r\nHo");
    return socket;
  });
  await new Promise((resolve) => setTimeout(resolve, 3000));
  const alive = slow.filter(({ destroyed }) => !destroyed).length;
  for (const socket of slow) socket.destroy();
  console.log(`3,000 slow connections: ${alive} left, others waited ${await longest()} ms`);
  const crowd = await Promise.all(
    Array.from({ length: 40 }, () =>
      fetch(`${origin}/v1/completions`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ prompt: "a".repeat(7_000_000) }),
      }).then(
        ({ status }) => status,
        (error) => error.cause?.code,
      ),
    ),
  );
  const counts = {};
  for (const status of crowd) counts[status] = (counts[status] ?? 0) + 1;
  console.log(`40 x 7 MB at once: ${JSON.stringify(counts)}, the most memory ever: ${memory("VmHWM")} MB`);
} finally {
  await other.terminate();
  child.kill("SIGTERM");
}
