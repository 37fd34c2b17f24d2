import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { expect, test } from "vitest";
import { specialization } from "../../src/analysis/specialization.ts";
import { demoView } from "../../src/cli/commands/demo.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { displayWidth } from "../../src/views/terminal/parts/text.ts";
import { FakeEngine, modelInfo } from "./fake-engine.ts";
import { runCli } from "./run-cli.ts";

const LABELLED = ["python", "math"]
  .flatMap((label) => [0, 1, 2, 3].map((i) => JSON.stringify({ prompt: `${label} ${i} = ${i * i}`, label })))
  .join("\n");

test("capture prints summary, strip, map and what to do next, in plain 80 columns", async () => {
  const { code, stdout, stderr, engine } = await runCli([
    "capture",
    "m.gguf",
    "The \x1b[31msky",
    "--max-tokens",
    "3",
  ]);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  expect(stdout).toBe(`fake-moe                                                               llama.cpp
qwen3moe · 4 layers, all MoE · 16 experts, top-2 · 7.1 M · BF16

Captured 4 MoE layers:
  Layer  0: 14 tokens × 16 experts, dtype float32, device cpu
  Layer  1: 14 tokens × 16 experts, dtype float32, device cpu
  Layer  2: 14 tokens × 16 experts, dtype float32, device cpu
  Layer  3: 14 tokens × 16 experts, dtype float32, device cpu
  expert_ids: 14 tokens × 2, layers 0-3
  expert_weights: 14 tokens × 2, layers 0-3

Tokens and their experts in layer 2, best first
sample 0 · 12 prompt tokens, 3 generated after ▸
     0   T  h   e   ·  <0x1B>   [   3  1   m  s   k   y  ▸a   b
   1st  11  9  10   7       9  15  11  9   7  9  15   6  10   7
   2nd   2  0   1  14       0   6   2  0  14  0   6  13   1  14

Expert usage against fair share (12.5 % of tokens)
     0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15    CV never
L0   ▒  ▒     ▒  ░  ░     ░  ▒  ░  ▒  ░  ░           0.82     5
L1            ▒  ▒     ▒  ░  ░     ░  ▒  ░  ▒  ░  ░  0.82     5
L2   ▒  ░  ░           ▒  ▒     ▒  ░  ░     ░  ▒  ░  0.82     5
L3   ░  ▒  ░  ▒  ░  ░           ▒  ▒     ▒  ░  ░     0.82     5
     · <½  ░ 1  ▒ 2  ▓ 3  █ 4+ × fair share, blank: never

Output 0: abc

Next: add --out run1   keep every value in a folder
`);
  expect(engine.closed).toBe(1);
});

test("--json prints one document with the same facts", async () => {
  const { code, stdout } = await runCli(["capture", "m.gguf", "--prompts", "-", "--json"], {
    stdin: LABELLED,
  });
  expect(code).toBe(0);
  const report = JSON.parse(stdout);
  expect(report).toMatchObject({
    format: "moescope.report/2",
    model: { name: "fake-moe" },
    engine: { kind: "llama.cpp" },
    out: null,
  });
  expect(report.streams[0]).toEqual({
    name: "router_logits",
    type: "float32",
    axes: ["rows", "experts"],
    dims: [report.rows, 16],
    layers: [0, 1, 2, 3],
  });
  expect(report.samples).toHaveLength(8);
  expect(report.samples[0].tokens.text.join("")).toBe("python 0 = 0");
  const [layer] = report.usage.layers;
  expect(layer.counts.reduce((a: number, b: number) => a + b)).toBe(2 * report.rows);
  expect(layer.byLabel.map(({ label }: { label: string }) => label)).toEqual(["python", "math"]);
  expect(layer.balance.cv).toBeGreaterThan(0);
});

test("options reach the model and the capture", async () => {
  const { loads, stdout } = await runCli([
    ..."capture m.gguf hello --chat --max-tokens 4 --layers 1,-1 --streams router_logits --json".split(" "),
    ..."--select phase=generated,last=2 --context 128 --kv-type q8_0 --no-flash-attention --threads 2 --no-isolate".split(
      " ",
    ),
  ]);
  expect(loads).toEqual([
    {
      reference: "m.gguf",
      contextSize: 128,
      kvType: "q8_0",
      threads: 2,
      flashAttention: false,
      isolate: "thread",
    },
  ]);
  const report = JSON.parse(stdout);
  expect(report.samples[0].promptTokens).toBe("<user>hello".length);
  expect(report.samples[0].tokens.text.join("")).toBe("bc");
  expect(
    report.streams.map(({ name, layers }: { name: string; layers: number[] }) => [name, layers]),
  ).toEqual([["router_logits", [1, 3]]]);
});

test("texts, files and token ids are run together, in this order", async () => {
  const folder = await mkdtemp(join(tmpdir(), "moescope-cli-"));
  try {
    await writeFile(join(folder, "ids.json"), "[[105, 100]]");
    const args = ["capture", "m", "a", "--prompts", "-", "--token-ids", join(folder, "ids.json"), "--json"];
    const { stdout } = await runCli(args, { stdin: "b\nc\n" });
    const texts = JSON.parse(stdout).samples.map((s: { tokens: { text: string[] } }) =>
      s.tokens.text.join(""),
    );
    expect(texts).toEqual(["a", "b", "c", "id"]);
  } finally {
    await rm(folder, { recursive: true });
  }
});

test("hidden states alone, and a selection without rows, print what there is", async () => {
  const hidden = await runCli(["capture", "m", "abc", "--streams", "hidden_states"]);
  expect(hidden.code).toBe(0);
  expect(hidden.stdout).toContain("Captured 3 tokens:\n  hidden_states: 3 tokens × 8, layers 0-3\n");
  expect(hidden.stdout).not.toContain("usage");
  const none = await runCli(["capture", "m", "abc", "--select", "positions=99"]);
  expect(none.code).toBe(0);
  expect(none.stdout).toContain("0 tokens");
});

test("a long sample is cut to the screen, and what is left out is counted right", async () => {
  const engine = new FakeEngine();
  Object.defineProperty(engine, "contextSize", { value: 10_000 });
  const { stdout } = await runCli(["capture", "m", "x".repeat(5000)], { engine });
  const strip = stdout.split("\n").find((line) => line.includes("more tokens"));
  expect(strip).toBe("       … 4.87 k more tokens");
});

test("a dense model says so", async () => {
  const engine = new FakeEngine({ ...modelInfo(), moe: null });
  const captured = await runCli(["capture", "m", "abc"], { engine });
  expect(captured.code).toBe(0);
  expect(captured.stdout).toContain("4 layers, dense");
  expect(captured.stdout).toContain("Captured 0 MoE layers:");
  expect((await runCli(["inspect", "m"], { engine })).stdout).toContain("This model is dense");
});

test("inspect", async () => {
  const { stdout } = await runCli(["inspect", "m.gguf"]);
  expect(stdout).toBe(`fake-moe
  file            fake.gguf
  architecture    qwen3moe
  layers          4, all MoE
  experts         16 routed, 2 used per token (fair share 12.5 %)
  shared experts  none
  gating          softmax, weights normalised
  hidden size     8
  vocabulary      1114112 tokens
  context         512 tokens
  parameters      7.1 M
  weights         14.2 MB, mostly BF16

Next: moescope capture MODEL "some text"   see which experts serve it
`);
  expect(JSON.parse((await runCli(["inspect", "m.gguf", "--json"])).stdout)).toEqual(modelInfo());
});

test("demo: a screen and a half of 80 columns", async () => {
  const llm = LanguageModel.of(new FakeEngine());
  const prompts = LABELLED.split("\n").map((line) => JSON.parse(line));
  const capture = await llm.capture(prompts);
  const written = await llm.capture([prompts[0]], { maxTokens: 16 });
  const found = specialization(capture, { permutations: 199 });
  for (const depth of ["none", "256", "truecolor"] as const) {
    const lines = demoView(capture, written, found, { width: 80, depth });
    expect(lines.length).toBeLessThanOrEqual(48);
    for (const line of lines)
      expect(displayWidth(stripVTControlCharacters(line)), line).toBeLessThanOrEqual(80);
  }
});

test.each([
  [[], 0],
  [["--help"], 0],
  [["--version"], 0],
  [["capture", "--help"], 0],
  [["compare", "--help"], 0],
  [["frobnicate"], 2],
  [["profile", "--help"], 0],
  [["capture"], 2],
  [["capture", "m", "--resume", "run1"], 2],
  [["capture", "--resume", "run1", "--max-tokens", "3"], 2],
  [["capture", "--resume", "run1", "--no-flash-attention"], 2],
  [["capture", "m", "x", "--dtype", "f16"], 2],
  [["capture", "m", "x", "--out", "run1", "--dtype", "f64"], 2],
  [["capture", "m", "x", "--out", "run1", "--shard-size", "0"], 2],
  [["capture", "--resume", "/no/such/run"], 1],
  [["profile"], 2],
  [["profile", "m"], 2],
  [["profile", "m", "--merge", "a.json"], 2],
  [["profile", "--merge", "/no/such.json"], 1],
  [["capture", "m"], 2],
  [["capture", "m", "x", "--frob"], 2],
  [["capture", "m", "x", "--layers", "a"], 2],
  [["capture", "m", "x", "--kv-type", "f64"], 2],
  [["capture", "m", "x", "--streams", "nope"], 2],
  [["capture", "m", "x", "--layers", "99"], 1],
  [["capture", "m", "--prompts", "/no/such/file"], 1],
  [["inspect"], 2],
])("%j ends with %i", async (args, code) => {
  const result = await runCli(args);
  expect(result.code).toBe(code);
  if (code > 0) {
    expect(result.stdout).toBe("");
    expect(result.stderr).toMatch(/^moescope: /);
    expect(result.stderr).not.toContain("    at ");
  } else expect(result.stderr).toBe("");
  for (const line of result.stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
});

test("MOESCOPE_DEBUG shows where an error was made", async () => {
  const { stderr } = await runCli(["capture", "m", "x", "--layers", "99"], { env: { MOESCOPE_DEBUG: "1" } });
  expect(stderr).toContain("    at ");
});

test("an abort ends with 130 and closes the model", async () => {
  const abort = new AbortController();
  const running = runCli(["capture", "m", "a", "b", "c", "d"], { signal: abort.signal });
  setImmediate(() => abort.abort());
  const { code, stdout, stderr, engine } = await running;
  expect(code).toBe(130);
  expect(stdout).toBe("");
  expect(stderr).toBe("moescope: interrupted\n");
  expect(engine.closed).toBeLessThanOrEqual(1);
});
