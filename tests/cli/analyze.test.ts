import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { displayWidth } from "../../src/views/terminal/parts/text.ts";
import { FakeEngine, modelInfo } from "./fake-engine.ts";
import { runCli } from "./run-cli.ts";

const folder = mkdtempSync(join(tmpdir(), "moescope-analyze-cli-"));
const run = join(folder, "run");
const TEXTS = [
  { prompt: "the sky is blue, and water is wet", label: "english" },
  { prompt: "one and one make two; two and two make four", label: "english" },
  { prompt: "x = 1 + 2\ny = (x - 1) * 3", label: "code" },
  { prompt: "def f(x):\n    return x + 1", label: "code" },
];

beforeAll(async () => {
  const prompts = join(folder, "prompts.jsonl");
  writeFileSync(prompts, TEXTS.map((text) => `${JSON.stringify(text)}\n`).join(""));
  const { code } = await runCli([
    ...["capture", "a.gguf", "--prompts", prompts, "--max-tokens", "6", "--out", run],
  ]);
  expect(code).toBe(0);
});
afterAll(() => rmSync(folder, { recursive: true }));

describe("moescope analyze", () => {
  test("prints every finding in plain 80 columns", async () => {
    const { code, stdout, stderr } = await runCli(["analyze", run]);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    const lines = stdout.split("\n");
    expect(lines.filter((line) => displayWidth(line) > 80)).toEqual([]);
    expect(stripVTControlCharacters(stdout)).toBe(stdout);
    const titles = lines.filter((line, i) => line !== "" && (i === 0 || lines[i - 1] === ""));
    const close = /^Closely: layer (\d), which tells most of the label$/.exec(titles[6]!)?.[1];
    expect(titles.map((title) => title.replace(/\d[\d.]* %/, "N %"))).toEqual([
      expect.stringContaining("llama.cpp"),
      expect.stringMatching(/^Analysed \d+ tokens \(20 generated\) of 4 samples in 4 MoE layers$/),
      "Expert usage against fair share (N % of tokens)",
      "Underused experts (below half the fair share of N %)",
      "Layer by layer",
      "Router losses, as training would add them",
      expect.stringContaining("Closely"),
      `Usage by label in layer ${close}, against fair share (N % of tokens)`,
      // None, and why: four texts cannot tell.
      "Specialized experts",
      "Scores of the literature: experts of greatest risk difference",
      expect.stringContaining(`Usage by class of token in layer ${close}`),
      `Tokens that the experts of layer ${close} prefer`,
      expect.stringContaining(`Experts of layer ${close} that serve the same tokens`),
      expect.stringContaining("From layer to layer"),
      expect.stringMatching(/^Caches of experts in each layer/),
      expect.stringContaining(`Usage along the text in layer ${close}`),
      expect.stringContaining("Routing entropy along the text"),
      expect.stringContaining("Next: moescope analyze"),
    ]);
  });

  test("colours on a terminal say the same", async () => {
    const plain = await runCli(["analyze", run]);
    const coloured = await runCli(["analyze", run], {
      isTTY: true,
      columns: 80,
      env: { COLORTERM: "truecolor", TERM: "xterm-256color" },
    });
    expect(coloured.stdout).toContain("\x1b[48;2;");
    const words = (text: string) =>
      stripVTControlCharacters(text)
        .split("\n")
        .filter((line) => /^(What|Layer|From|Usage along)/.test(line));
    expect(words(coloured.stdout)).toEqual(words(plain.stdout));
    const lines = stripVTControlCharacters(coloured.stdout).split("\n");
    expect(lines.filter((line) => displayWidth(line) > 80)).toEqual([]);
  });

  test("--json is a summary of every layer, with --full every number; --label and --layer narrow it", async () => {
    const short = JSON.parse((await runCli(["analyze", run, "--json"])).stdout);
    expect(short.format).toBe("moescope.analysis-summary/1");
    expect(short.layers[0].usage).toEqual({
      texts: 4,
      dead: expect.any(Array),
      underused: [],
      busiest: expect.any(Array),
    });
    expect(await runCli(["analyze", run, "--full"])).toMatchObject({ code: 2 });
    const all = JSON.parse((await runCli(["analyze", run, "--json", "--full"])).stdout);
    expect(all.format).toBe("moescope.analysis/3");
    for (const { layers } of [short, all])
      expect(layers.map(({ layer }: { layer: number }) => layer)).toEqual([0, 1, 2, 3]);
    const narrow = await runCli(["analyze", run, "--json", "--label", "code", "--layer", "-1"]);
    const some = JSON.parse(narrow.stdout);
    expect(some.labels).toEqual([{ label: "code", samples: 2, rows: expect.any(Number) }]);
    expect(some.layers.map(({ layer }: { layer: number }) => layer)).toEqual([3]);
    const { stdout } = await runCli(["analyze", run, "--label", "code", "--layer", "1"]);
    expect(stdout).toMatch(/of 2 of 4 samples in 1 MoE layer\nLeft out: layers 0, 2-3/);
  });

  test("says when facts were kept, and computes them anew on demand", async () => {
    const kept = expect.stringContaining("kept in the folder");
    const analyze = ["analyze", run, "--json", "--seed", "3"];
    const first = await runCli(analyze);
    expect(first).toMatchObject({ code: 0, stderr: "" });
    expect(await runCli(analyze)).toEqual({ ...first, stderr: kept });
    expect(await runCli([...analyze, "--no-cache"])).toEqual(first);
    // The report is made of the same facts.
    expect((await runCli(["report", run, "--seed", "3", "-o", join(folder, "r.html")])).stderr).toEqual(kept);
    const compare = ["compare", run, "--labels", "english,code", "--json"];
    const compared = await runCli(compare);
    expect(compared).toMatchObject({ code: 0, stderr: "" });
    expect(await runCli(compare)).toEqual({ ...compared, stderr: kept });
  });

  test("says what is wrong", async () => {
    const unknown = await runCli(["analyze", run, "--label", "prose"]);
    expect(unknown).toMatchObject({ code: 1, stderr: expect.stringContaining("english, code") });
    const layer = await runCli(["analyze", run, "--layer", "9"]);
    expect(layer).toMatchObject({ code: 1, stderr: expect.stringContaining("0, 1, 2, 3") });
    const nothing = await runCli(["analyze", join(folder, "nothing")]);
    expect(nothing).toMatchObject({ code: 1, stderr: expect.stringContaining("no capture folder") });
    expect(await runCli(["analyze", run, "--threads", "0"])).toMatchObject({ code: 2 });
  });

  test("a dense model has no experts, and that is said", async () => {
    const dense = join(folder, "dense");
    const engine = new FakeEngine({ ...modelInfo(), moe: null });
    await runCli(["capture", "dense.gguf", "a text", "--streams", "hidden_states", "--out", dense], {
      engine,
    });
    const { code, stdout } = await runCli(["analyze", dense]);
    expect(code).toBe(0);
    expect(stdout).toContain("a dense model has no experts");
    expect(JSON.parse((await runCli(["analyze", dense, "--json"])).stdout)).toMatchObject({
      experts: 0,
      layers: [],
    });
  });
});
