import { copyFileSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterAll, describe, expect, test } from "vitest";
import { compareCaptures } from "../../src/analysis/compare/compare-captures.ts";
import { load } from "../../src/run/load.ts";
import { displayWidth } from "../../src/views/terminal/parts/text.ts";
import { ggufOf } from "../fixtures/families.ts";
import { perturbedGguf } from "../fixtures/perturbed-gguf.ts";
import { FakeEngine, modelInfo } from "./fake-engine.ts";
import { type CliOptions, runCli } from "./run-cli.ts";

const folder = mkdtempSync(join(tmpdir(), "moescope-compare-"));
afterAll(() => rmSync(folder, { recursive: true }));

// Layer 1 takes e for f, layer 2 every vowel for its neighbour.
const disturbed = new FakeEngine(modelInfo({ name: "disturbed" }), (token, layer) =>
  (["", "e", "aeiou", ""][layer] ?? "").includes(String.fromCodePoint(token)),
);
const options: CliOptions = { engines: { "b.gguf": disturbed } };
const TEXTS = ["the sky is blue", "water is wet", "one and one make two", "no vowels: hmm", "a cat", "dogs"];

test("two models on the same prompts, in plain 80 columns", async () => {
  const { code, stdout, stderr, loads } = await runCli(
    ["compare", "a.gguf", "b.gguf", "--threads", "2", "--", ...TEXTS],
    options,
  );
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  expect(loads).toEqual([
    { reference: "a.gguf", threads: 2 },
    { reference: "b.gguf", threads: 2 },
  ]);
  expect(disturbed.closed).toBe(1);
  expect(stdout).toMatchInlineSnapshot(`
    "A  a.gguf: fake-moe                                                    llama.cpp
       qwen3moe · 4 layers, all MoE · 16 experts, top-2 · 7.1 M · BF16
    B  b.gguf: disturbed                                                   llama.cpp
       qwen3moe · 4 layers, all MoE · 16 experts, top-2 · 7.1 M · BF16

    Compared 70 tokens of 6 samples in 4 MoE layers
    68.6 % of the tokens keep their experts in every layer

    Tokens that keep their experts, by layer
         exact  overlap   top-1  KL, nats   first  exact, 0 to 100 %
    L0   100 %    100 %   100 %         0     0 %  █████████████████████████████████
    L1  88.6 %   88.6 %  88.6 %    0.0133  11.4 %  █████████████████████████████▎
    L2  68.6 %   68.6 %  68.6 %    0.0336    20 %  ██████████████████████▋
    L3   100 %    100 %   100 %         0     0 %  █████████████████████████████████
    exact: the same set · overlap: experts in common · top-1: the same best one
    KL(A‖B) of the softmax of the router logits · first: differ here, not before

    Where samples take other experts first
      2 samples   position 1   layer 2   o
      sample 0    position 2   layer 1   e
      sample 1    position 1   layer 2   a
      sample 2    position 0   layer 2   o
      sample 4    position 0   layer 2   a

    Shift of expert usage from A to B (share of tokens)
         0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15
    L0
    L1            »           «              »     «
    L2   ‹  «              »        ‹  «              »
    L3
         « ‹ less in B, to -12.9 points   › » more in B, to +12.9 points

    Experts whose use shifted most, from A to B
      L2 E15    5.71 % → 18.6 %   +12.9 points   ± 12.9   q = 0.250
      L2 E6     14.3 % → 27.1 %   +12.9 points   ± 12.9   q = 0.250
      L1 E12    5.71 % → 17.1 %   +11.4 points   ± 11.4   q = 0.219
      L1 E3     14.3 % → 25.7 %   +11.4 points   ± 11.4   q = 0.219
      L1 E7     27.1 % → 15.7 %   -11.4 points   ± 11.4   q = 0.219
      L1 E14    27.1 % → 15.7 %   -11.4 points   ± 11.4   q = 0.219
      L2 E1     27.1 % → 17.1 %     -10 points   ± 12.9   q = 0.438
      L2 E10    27.1 % → 17.1 %     -10 points   ± 12.9   q = 0.438
      none is beyond chance (q ≤ 0.05)

    Tokens that moved most, by mean Jensen-Shannon divergence (0 to 0.693 nats)
      sample 0    position 2   e   0.014 nats   50 % of experts kept
      sample 0   position 14   e   0.014 nats   50 % of experts kept
      sample 1    position 3   e   0.014 nats   50 % of experts kept
      sample 1   position 10   e   0.014 nats   50 % of experts kept
      sample 2    position 2   e   0.014 nats   50 % of experts kept
      sample 2   position 10   e   0.014 nats   50 % of experts kept
      sample 2   position 15   e   0.014 nats   50 % of experts kept
      sample 3    position 6   e   0.014 nats   50 % of experts kept

    Next: add --json   every layer, expert and token
    "
  `);
  for (const line of stdout.split("\n")) expect(displayWidth(line)).toBeLessThanOrEqual(80);
});

test("one in llama.cpp and one in vLLM, each with its own options; a checkpoint's folder is no capture", async () => {
  const checkpoint = join(folder, "checkpoint");
  mkdirSync(checkpoint, { recursive: true });
  const settings = [
    "--engine",
    "vllm",
    "--engine-arg",
    "maxModelLen=512",
    "--kv-type",
    "f32",
    "--gpu",
    "off",
  ];
  for (const other of [checkpoint, "org/repo"]) {
    const { code, loads } = await runCli(["compare", "a.gguf", other, ...settings, "--", "a cat"], options);
    expect(code).toBe(0);
    expect(loads).toEqual([
      { reference: "a.gguf", kvType: "f32", gpu: false },
      { reference: other, engine: "vllm", maxModelLen: 512 },
    ]);
  }
  // Without vLLM a folder can only be a capture.
  const { code, stderr } = await runCli(["compare", "a.gguf", checkpoint, "--", "a cat"], options);
  expect({ code, stderr }).toMatchObject({
    code: 2,
    stderr: expect.stringContaining("is a capture and the other a model"),
  });
});

test("a model with itself", async () => {
  const { stdout } = await runCli(["compare", "a.gguf", "a.gguf", ...TEXTS]);
  expect(stdout).toContain("100 % of the tokens keep their experts in every layer");
  expect(stdout).toContain("none: every expert serves as many tokens");
  expect(stdout).not.toContain("moved most");
});

describe("capture folders", () => {
  const [one, two, part] = ["one", "two", "part"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];

  test("are compared as they are, what only one has is said", async () => {
    await runCli(["capture", "a.gguf", ...TEXTS, "--out", one]);
    await runCli(["capture", "b.gguf", ...TEXTS, "--out", two], options);
    await runCli(["capture", "b.gguf", ...TEXTS, "--select", "last=4", "--out", part], options);
    const folders = JSON.parse((await runCli(["compare", one, two, "--json"])).stdout);
    const models = JSON.parse(
      (await runCli(["compare", "a.gguf", "b.gguf", ...TEXTS, "--json"], options)).stdout,
    );
    for (const key of ["layers", "rows", "moved", "firstDisagreements"])
      expect(folders[key]).toEqual(models[key]);
    expect(folders).toMatchObject({
      format: "moescope.comparison/3",
      onlyA: 0,
      b: { model: { name: "disturbed" } },
    });
    expect(folders.layers.map(({ exact }: { exact: number }) => exact === 1)).toEqual([
      true,
      false,
      false,
      true,
    ]);
    const some = await runCli(["compare", one, part]);
    expect(some.stdout).toContain(`Left out: ${TEXTS.join("").length - 4 * TEXTS.length} tokens only in A`);
  });

  test("take no prompts and are not compared with models", async () => {
    const prompts = await runCli(["compare", one, two, "text"]);
    expect(prompts).toMatchObject({ code: 2, stderr: expect.stringContaining("compare --help") });
    expect(await runCli(["compare", one, "m.gguf", "x"])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("capture the model first"),
    });
    expect(await runCli(["compare", folder, two])).toMatchObject({ code: 1 });
  });

  test("of other texts are refused", async () => {
    const other = join(folder, "other");
    await runCli(["capture", "a.gguf", "the sun is hot!", ...TEXTS.slice(1), "--out", other]);
    const { code, stdout, stderr } = await runCli(["compare", one, other]);
    expect({ code, stdout }).toEqual({ code: 1, stdout: "" });
    expect(stderr).toContain("at sample 0, position 5");
    expect(stderr).toContain("The prompts differ");
  });
});

describe("labels", () => {
  const prompts = ["vowel", "digit"]
    .flatMap((label) =>
      [0, 1, 2, 3].map((i) => ({ prompt: label === "digit" ? `${i}27${i}9` : `aei${"aeio"[i]}u`, label })),
    )
    .map((line) => JSON.stringify(line))
    .join("\n");

  test("two of one capture", async () => {
    const args = ["compare", "a.gguf", "--labels", "vowel, digit", "--prompts", "-"];
    const { code, stdout, stderr } = await runCli(args, { stdin: prompts });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toMatchInlineSnapshot(`
      "fake-moe                                                               llama.cpp
      qwen3moe · 4 layers, all MoE · 16 experts, top-2 · 7.1 M · BF16

      A  vowel: 20 tokens of 4 samples
      B  digit: 20 tokens of 4 samples

      What an expert tells of the label (mutual information, at most 1 bit)
        L0   0.19 bits   by chance 0.063   q = 0.030
        L1   0.19 bits   by chance 0.063   q = 0.030
        L2   0.19 bits   by chance 0.063   q = 0.030
        L3   0.19 bits   by chance 0.063   q = 0.030

      Shift of expert usage from A to B (share of tokens)
           0  1  2  3  4  5  6  7  8  9 10 11 12 13 14 15
      L0   »        ›  «        »        ›  «
      L1            »        ›  «        »        ›  «
      L2   ›  «              »        ›  «        »
      L3   »        ›  «              »        ›  «
           « ‹ less in B, to -30 points   › » more in B, to +30 points

      Experts whose use shifted most, from A to B
      * L0 E4       50 % → 20 %   -30 points   ± 20   q = 0.030
      * L0 E11      50 % → 20 %   -30 points   ± 20   q = 0.030
      * L1 E7       50 % → 20 %   -30 points   ± 20   q = 0.030
      * L1 E14      50 % → 20 %   -30 points   ± 20   q = 0.030
      * L2 E1       50 % → 20 %   -30 points   ± 20   q = 0.030
      * L2 E10      50 % → 20 %   -30 points   ± 20   q = 0.030
      * L3 E4       50 % → 20 %   -30 points   ± 20   q = 0.030
      * L3 E13      50 % → 20 %   -30 points   ± 20   q = 0.030
        * 16 of 32 shifts are beyond chance: q ≤ 0.05, at most a 5 % chance that any
        one is false

      Next: add --json   every layer and expert
      "
    `);
    for (const line of stdout.split("\n")) expect(displayWidth(line)).toBeLessThanOrEqual(80);
    const report = JSON.parse((await runCli([...args, "--json"], { stdin: prompts })).stdout);
    expect(report).toMatchObject({ labels: ["vowel", "digit"], samples: [4, 4], rows: [20, 20] });
    expect(report.layers).toHaveLength(4);
  });

  test.each([
    [["--labels", "vowel"], 2, "not two labels"],
    [["--labels", "vowel,poem", "--prompts", "-"], 1, "the labels are vowel, digit"],
    [["b.gguf", "--labels", "vowel,digit", "--prompts", "-"], 2, "leave out B"],
    [[], 2, "compare with what"],
    [["b.gguf"], 2, "nothing to run"],
  ])("%j is refused", async (args, code, message) => {
    const result = await runCli(["compare", "a.gguf", ...args], { stdin: prompts });
    expect(result).toMatchObject({ code, stdout: "", stderr: expect.stringContaining(message) });
  });
});

test("colours, and many layers of many experts, keep to the width", async () => {
  const big = modelInfo({ layers: 61, experts: 256, topK: 8 });
  const engines = {
    "a.gguf": new FakeEngine(big),
    "b.gguf": new FakeEngine(big, (token, layer) => (token * layer) % 3 === 0),
  };
  for (const COLORTERM of ["", "truecolor"]) {
    const { stdout } = await runCli(["compare", "a.gguf", "b.gguf", ...TEXTS], {
      engines,
      isTTY: true,
      columns: 80,
      env: { TERM: "xterm-256color", COLORTERM },
    });
    expect(stdout).toContain("\x1b[48;");
    const lines = stdout.split("\n").map(stripVTControlCharacters);
    expect(lines.length).toBeLessThan(100);
    for (const line of lines) expect(displayWidth(line), line).toBeLessThanOrEqual(80);
  }
});

describe("real models", () => {
  test("a copy agrees in everything, a disturbed one in less the more it is disturbed", async () => {
    const original = ggufOf("qwen3_moe");
    const paths = ["copy", "little", "much"].map((name) => join(folder, `${name}.gguf`)) as [
      string,
      string,
      string,
    ];
    copyFileSync(original, paths[0]);
    await perturbedGguf(original, paths[1], 0.02);
    await perturbedGguf(original, paths[2], 0.5);
    const texts = ["The router sends each token to its experts.", "def add(a, b):", "1 + 2 = 3"];
    const capture = async (path: string) => {
      await using llm = await load(path, { threads: 1 });
      return await llm.capture(texts);
    };
    const base = await capture(original);
    const comparisons = [];
    for (const path of paths) comparisons.push(compareCaptures(base, await capture(path)));
    const [same, little, much] = comparisons;
    expect(same!.exact).toBe(1);
    for (const layer of same!.layers.values())
      expect(layer).toMatchObject({ exact: 1, overlap: 1, kl: 0, js: 0 });
    for (const layer of little!.layers.keys()) {
      const [of, more] = [little!.layers.get(layer)!, much!.layers.get(layer)!];
      expect(of.kl).toBeGreaterThan(0);
      expect(more.kl).toBeGreaterThan(of.kl!);
      expect(more.overlap).toBeLessThan(1);
    }
    expect(much!.exact).toBeLessThan(little!.exact);
    expect(much!.firstDisagreements).toHaveLength(texts.length);
  });
});

test("generated texts that part are compared up to there", async () => {
  const [one, two] = [join(folder, "generated"), join(folder, "generated-other")];
  await runCli(["capture", "a", "xyz", "--max-tokens", "5", "--out", one]);
  writeFileSync(join(folder, "ids.json"), "[[120, 121, 122]]");
  await runCli(["capture", "a", "--token-ids", join(folder, "ids.json"), "--max-tokens", "3", "--out", two]);
  const { stdout } = await runCli(["compare", one, two]);
  expect(stdout).toContain("Compared 5 tokens of 1 sample");
  expect(stdout).toContain("Left out: 2 tokens only in A");
});
