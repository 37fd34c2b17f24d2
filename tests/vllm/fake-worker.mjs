#!/usr/bin/env node
// A Python with vLLM as far as moescope can tell: it answers the probe, and speaks docs/vllm-protocol.md. The model's
// name says what goes wrong. A token is a character; its values follow from token, layer and expert alone.
import { spawn } from "node:child_process";
import { mkdtempSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";

const LAYERS = [0, 1];
const EXPERTS = 4;
const send = (message) => writeSync(1, `${JSON.stringify(message)}\n`);

if (process.argv[2] === "-c") {
  send({ python: "3.12.1", vllm: "0.32.0", torch: "2.13.0", build: "cpu" });
  process.exit(0);
}

const spool = mkdtempSync(join(tmpdir(), `moescope-${process.pid}-`));
// What vLLM's own processes are.
const child = spawn("sleep", ["600"], { stdio: "ignore" });
const leave = (status) => {
  child.kill("SIGKILL");
  rmSync(spool, { recursive: true, force: true });
  process.exit(status);
};

let scenario = "";
const cancelled = new Set();
const lines = createInterface({ input: process.stdin });
lines.on("line", (line) => receive(JSON.parse(line)));
lines.on("close", () => leave(0));

function receive(message) {
  if (message.type === "start") start(message);
  else if (message.type === "close") leave(0);
  else if (message.type === "cancel") cancelled.add(message.id);
  else if (message.type === "run") void run(message);
  else if (message.type === "tokenize") tokenize(message);
  else if (message.type === "detokenize") reply(message.id, String.fromCodePoint(...message.tokens));
  else if (message.type === "encode") encode(message);
}

function start({ model, engineArgs }) {
  scenario = model;
  send({ type: "progress", stage: "import", text: `${process.pid} ${child.pid} ${spool}`, fraction: null });
  if (scenario === "silent") return;
  if (scenario === "crash") fall("RuntimeError: the driver is too old");
  if (scenario === "out of memory")
    fall("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2.00 GiB");
  if (scenario === "refused") {
    send({ type: "error", id: null, error: { code: "MODEL_NOT_FOUND", message: "there is no such model" } });
    leave(1);
  }
  if (scenario === "another version") return send({ ...ready(engineArgs), protocol: 5 });
  send(ready(engineArgs));
}

function fall(words) {
  writeSync(2, `(EngineCore pid=7) INFO 12:00:00 loading\n\u001b[31m(EngineCore pid=7) ${words}\u001b[0m\n`);
  leave(1);
}

/** What the plugin says where it cannot give everything, by scenario. */
const REFUSALS = {
  "no logits": { streams: {}, refused: { router_logits: "its modules keep them to themselves" } },
  "no layers": { streams: {}, refused: { router_logits: "they are of a kind nobody knows" } },
};

const PURPOSES = {
  generate: { task: "generate", causal: true, embedding: null },
  embed: { task: "embed", causal: false, embedding: { pooling: "mean", normalize: true } },
};

const ready = (engineArgs) => ({
  type: "ready",
  protocol: 4,
  plugin: "0.1.0",
  vllm: "0.32.0",
  spool,
  model: {
    name: "fake",
    architecture: "FakeMoe",
    layers: 2,
    hiddenSize: 8,
    vocabSize: 256,
    contextLength: 512,
    parameters: 1000,
    bytes: 4000,
    quantization: "F32",
    moe:
      scenario === "no layers"
        ? null
        : {
            layers: LAYERS,
            experts: EXPERTS,
            topK: 2,
            sharedExperts: 0,
            gating: {
              score: "softmax",
              chosenBy: "scores",
              normalize: true,
              scale: 1,
              selectionBias: false,
              groups: null,
              weighted: "outputs",
            },
          },
  },
  contextSize: engineArgs.max_model_len ?? 512,
  ...PURPOSES[scenario === "embedder" ? "embed" : "generate"],
  streams: { router_logits: { layers: LAYERS, width: EXPERTS } },
  ...REFUSALS[scenario],
  tested: scenario !== "untested",
  newestTested: "0.32.0",
  chatTemplate: null,
  specialTokens: { bos: "", eos: "" },
  devices: [],
  vision: scenario === "vision",
}); // prettier-ignore

function tokenize({ id, texts }) {
  const value = texts.map(({ text }) => codes(text));
  send({ type: "reply", id, value, newTokens: named(value.flat()) });
}

const codes = (text) => [...text].map((letter) => letter.codePointAt(0));
const named = (tokens) => tokens.map((token) => [token, String.fromCodePoint(token)]);
const reply = (id, value) =>
  send({ type: "reply", id, value, newTokens: Array.isArray(value) ? named(value) : [] });

/** An image is three asterisks, where the prompt has one. */
function encode({ id, prompt, images }) {
  const offset = prompt.indexOf("*");
  const tokens = codes(prompt.replace("*", "***"));
  send({
    type: "reply",
    id,
    value: { tokens, media: images.map(() => ({ kind: "image", offset, length: 3 })) },
    newTokens: named(tokens),
  });
}

async function run({ id, requests, plan }) {
  if (plan.streams.some(({ name }) => name !== "router_logits"))
    return send({ type: "error", id, error: { code: "UNKNOWN_STREAM", message: "only router_logits" } });
  const samples = requests.map(({ tokens, prompt }) => tokens ?? codes(prompt.replace("*", "***")));
  for (const [sample, tokens] of samples.entries()) rows(id, sample, tokens, 0, tokens.length, plan);
  for (let step = 0; scenario === "endless" || step < (requests[0]?.maxTokens ?? 0); step++) {
    if (cancelled.has(id)) return send({ type: "end", id, cancelled: true });
    if (scenario === "hangs" && step === 2) return;
    if (scenario === "killed" && step === 2) process.kill(process.pid, "SIGKILL");
    if (scenario === "babble" && step === 2) writeSync(1, "INFO: a library prints\n");
    const drawn = samples.map((_, sample) => ({ sample, tokenId: 97 + (step % 26) }));
    send({
      type: "steps",
      id,
      drawn,
      finished: [],
      processed: 1,
      newTokens: named(drawn.map(({ tokenId }) => tokenId)),
    });
    await new Promise((resolve) => setTimeout(resolve, 2));
  }
  for (const [sample, tokens] of samples.entries()) {
    const drawn = Array.from({ length: requests[sample].maxTokens }, (_, step) => 97 + (step % 26));
    const text = String.fromCodePoint(...drawn);
    const all = Array.from({ length: tokens.length + Math.max(0, drawn.length - 1) }, (_, at) => at);
    const kept = all.filter((position) => isSelected(position, position < tokens.length, plan));
    send({ type: "ended", id, sample, rows: kept.length, how: "complete" });
    const vector = scenario === "embedder" ? { embedding: [0.6, 0.8] } : {};
    const finished = [{ sample, tokens: drawn, text, reason: "length", ...vector }];
    send({ type: "steps", id, drawn: [], finished, processed: 0, newTokens: [] });
    // The last rows come after the sample's end has been told, as they may.
    if (drawn.length > 1 && scenario !== "rows missing")
      rows(id, sample, [...tokens, ...drawn], tokens.length, tokens.length + drawn.length - 1, plan);
  }
  send({ type: "end", id, cancelled: false });
}

const isSelected = (position, inPrompt, { select: { phase, positions } }) =>
  (phase === null || (phase === "prompt") === inPrompt) && (positions?.includes(position) ?? true);

let files = 0;

/** Positions `[from, to)` of a sample as a rows file. */
function rows(id, sample, tokens, from, to, plan) {
  const prompt = from === 0;
  const positions = Array.from({ length: to - from }, (_, i) => from + i).filter((position) =>
    isSelected(position, prompt, plan),
  );
  if (positions.length === 0) return;
  const [{ layers } = { layers: [] }] = plan.streams;
  const tensors = {
    "rows.sample": ["I32", [positions.length], Int32Array.from(positions, () => sample)],
    "rows.position": ["I32", [positions.length], Int32Array.from(positions)],
    "rows.token_id": ["I32", [positions.length], Int32Array.from(positions, (position) => tokens[position])],
    "rows.phase": ["U8", [positions.length], Uint8Array.from(positions, () => (prompt ? 0 : 1))],
  };
  for (const layer of layers)
    tensors[`router_logits.${layer}`] = [
      "F32",
      [positions.length, EXPERTS],
      Float32Array.from(
        positions.flatMap((position) =>
          [0, 1, 2, 3].map((expert) => tokens[position] + 1000 * layer + expert / 4),
        ),
      ),
    ];
  const header = {
    __metadata__: { format: "moescope.rows/2" },
  };
  let end = 0;
  for (const [name, [dtype, shape, { byteLength }]] of Object.entries(tensors)) {
    header[name] = { dtype, shape, data_offsets: [end, end + byteLength] };
    end += byteLength;
  }
  const json = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const data = Object.values(tensors).map(([, , { buffer }]) => Buffer.from(buffer));
  const path = join(spool, `${files++}.safetensors`);
  writeFileSync(`${path}.tmp`, Buffer.concat([length, json, ...data]));
  renameSync(`${path}.tmp`, path);
  send({ type: "rows", id, path, rows: positions.length, bytes: end });
}
