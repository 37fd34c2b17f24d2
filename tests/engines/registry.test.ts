import { describe, expect, expectTypeOf, it, test } from "vitest";
import { engineFlags } from "../../src/cli/options/load-flags.ts";
import { chooseEngine } from "../../src/engines/choose.ts";
import { writtenFlag } from "../../src/engines/flag.ts";
import { ENGINES, type LoadOptions } from "../../src/engines/index.ts";
import type { LlamaLoadOptions, ServerLoadOptions, VllmLoadOptions } from "../../src/index.ts";
import { load, loadWith } from "../../src/run/load.ts";
import { FakeEngine } from "../cli/fake-engine.ts";
import { runCli } from "../cli/run-cli.ts";
import { echoEntry } from "./echo-engine.ts";

const all = [...ENGINES, echoEntry];
const cli = (...args: string[]) => runCli(args, { further: [echoEntry] });

describe("a third engine, in one file", () => {
  it("loads and captures", async () => {
    const llm = await loadWith(all, "echo:hall", { loudness: 3 });
    expect(llm.engine.kind).toBe("echo");
    expect((await llm.capture("ab")).rows.text).toEqual(["a", "b"]);
    await llm.close();
  });

  it("has its options read strictly, near misses named", async () => {
    await expect(loadWith(all, "echo:hall", { loudnes: 3 })).rejects.toThrow("did you mean loudness?");
    await expect(loadWith(all, "echo:hall", { loudness: 12 })).rejects.toThrow("from 1 to 11, got 12");
    await expect(loadWith(all, "m.gguf", { engine: "ecco" })).rejects.toThrow(
      'unknown engine "ecco": did you mean echo?; the engines are llama.cpp, vllm and echo',
    );
    await expect(loadWith(all, "m.gguf", { engine: "echo" })).rejects.toThrow(
      '"m.gguf" is nothing that echo runs',
    );
  });

  it("has its flags on the command line, in the help and refused for others", async () => {
    const run = await cli("capture", "echo:hall", "ab", "--loudness", "11", "--context", "9", "--json");
    expect(run).toMatchObject({ code: 0, stderr: "", loads: [] });
    expect(JSON.parse(run.stdout).engine.kind).toBe("echo");
    const help = (await cli("capture", "--help")).stdout.replace(/\s+/g, " ");
    expect(help).toContain('(choices: "llama.cpp", "vllm", "echo")');
    expect(help).toContain("--loudness <n> how loud it is");
    expect(help).toContain("echo:NAME");
    expect((await cli("capture", "--help")).stdout).not.toContain("undefined");
    const wrong = await cli("capture", "m.gguf", "ab", "--loudness", "3");
    expect(wrong).toMatchObject({ code: 2 });
    expect(wrong.stderr).toContain("--loudness means nothing to llama.cpp");
    expect((await cli("capture", "echo:hall", "ab", "--gpu", "off")).stderr).toContain(
      "--gpu means nothing to an echo",
    );
    expect((await cli("capture", "echo:hall", "ab", "--loudness", "12")).stderr).toContain(
      "not a whole number from 1 to 11",
    );
  });

  it("runs what is its own beside others", async () => {
    const run = await cli(..."compare echo:hall m.gguf --engine echo --loudness 2 --json".split(" "), "ab");
    expect(run).toMatchObject({ code: 0, loads: [{ reference: "m.gguf" }] });
  });

  it("is in doctor and setup", async () => {
    expect((await cli("doctor")).stdout).toContain("  echo        ✓ 4 walls\n");
    expect(JSON.parse((await cli("doctor", "--json")).stdout)).toMatchObject({ echo: { walls: 4 } });
    const setup = await cli("setup", "echo", "--walls", "3", "--yes");
    expect(setup.stdout).toBe("3 walls, 4 MB to download\nDone. Next: moescope capture echo:hall hello\n");
    expect((await cli("setup", "sglang")).stderr).toContain(
      'only vllm and echo need to be set up, not "sglang"',
    );
  });
});

test("who knows the same flag means the same by it", () => {
  const other = { ...echoEntry, flags: [{ flag: { ...echoEntry.flags[0]!.flag }, sets: () => ({}) }] };
  expect(() => engineFlags([...ENGINES, other])).toThrow("two engines mean something else by --context");
});

test("what is nobody's own goes to the engine that is asked for, else to llama.cpp", () => {
  const titles = (reference: string, asked?: string) => chooseEngine(ENGINES, reference, asked).title;
  expect(titles("org/repo")).toBe("llama.cpp");
  expect(titles("org/repo", "vllm")).toBe("vLLM");
  expect(titles("model.gguf", "vllm")).toBe("vLLM");
  expect(titles("HTTP://host")).toBe("a server that is running");
  expect(titles("http://host", "vllm")).toBe("a server that is running");
  expect(() => titles("http://host", "llama.cpp")).toThrow("cannot be set for a server");
  expect(() => titles("hf:org/repo", "vllm")).toThrow("without hf:, as org/repo");
  expect(() => titles("https://huggingface.co/org/repo")).toThrow("is a URL; ");
});

test("the types of load's options are the engines'", () => {
  expectTypeOf<LoadOptions>().toEqualTypeOf<LlamaLoadOptions | VllmLoadOptions | ServerLoadOptions>();
});

test("load names what was meant", async () => {
  const refused = (reference: string, options: object) =>
    load(reference, options as LoadOptions).then(
      () => "loaded",
      (error: Error) => error.message,
    );
  expect(await refused("m.gguf", { context_size: 5 })).toContain("did you mean contextSize?");
  expect(await refused("org/repo", { engine: "vllm", max_model_len: 5 })).toContain(
    "did you mean maxModelLen?",
  );
  expect(await refused("http://localhost:1", { api_key: "k" })).toContain("did you mean apiKey?");
  expect(await refused("m.gguf", { engine: "lama.cpp" })).toContain("did you mean llama.cpp?");
});

test("every flag of an engine has a help, and is on the commands that load", async () => {
  const { stdout } = await runCli(["serve", "--help"], { engine: new FakeEngine() });
  for (const flag of engineFlags(ENGINES)) {
    expect(stdout).toContain(`${writtenFlag(flag)} `);
    expect(flag.help.length).toBeGreaterThan(5);
  }
});
