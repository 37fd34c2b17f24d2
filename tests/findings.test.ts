import { execFile } from "node:child_process";
import { readFileSync, symlinkSync } from "node:fs";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import { packageRoot } from "../src/core/package-root.ts";

/**
 * The commands of docs/findings.md, run in order, print what stands below them. Processors differ in the last bits of
 * the logits, so numbers may be off by a few per cent and some cells of the maps by a shade; words may not.
 */
const page = readFileSync(join(packageRoot, "docs/findings.md"), "utf8");
const blocks = [...page.matchAll(/```console\n\$ ([^\n]*)\n([\s\S]*?)```/g)].map(([, command, output]) => ({
  command: command!,
  expected: output!.split("\n").filter((line) => line.trim() !== "" && line !== "…"),
}));

let folder: string;
const printed = new Map<string, string[]>();

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "moescope-findings-"));
  symlinkSync(join(packageRoot, "models"), join(folder, "models"), "junction");
});

afterAll(() => rm(folder, { recursive: true, force: true }));

async function run(command: string): Promise<string[]> {
  const known = printed.get(command);
  if (known) return known;
  const [program, ...args] = command.replace(/^npx moescope/, "moescope").split(" ");
  const [file, first] =
    program === "python"
      ? [inject("python"), []]
      : [process.execPath, [join(packageRoot, "dist/cli/main.js")]];
  const { stdout } = await promisify(execFile)(file, [...first, ...args], {
    cwd: folder,
    maxBuffer: 2 ** 26,
  });
  const lines = stdout.split("\n");
  printed.set(command, lines);
  return lines;
}

const NUMBER = /[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?/g;
const GLYPHS = /[▏▎▍▌▋▊▉█░▒▓·‹›«»]+/g;

/** Whether a line is the one that was expected, but for what processors may change. */
function same(expected: string, line: string): boolean {
  const words = (text: string) => text.replace(GLYPHS, " ").replace(NUMBER, "#").replace(/\s+/g, " ").trim();
  if (words(expected) !== words(line)) return false;
  const numbers = (text: string) => (text.match(NUMBER) ?? []).map(Number);
  const found = numbers(line);
  return numbers(expected).every((value, i) => {
    const step = Math.abs(value) >= 100 ? 1 : 0.02;
    return Math.abs(value - found[i]!) <= Math.max(0.05 * Math.abs(value), step);
  });
}

describe("docs/findings.md", () => {
  it("has commands", () => {
    expect(blocks.length).toBeGreaterThan(10);
    expect(blocks.filter(({ expected }) => expected.length > 0).length).toBeGreaterThan(8);
  });

  it.each(blocks)("$command", { timeout: 300_000 }, async ({ command, expected }) => {
    const lines = await run(command);
    let next = 0;
    for (const line of expected) {
      const at = lines.findIndex((candidate, i) => i >= next && same(line, candidate));
      expect(at, `no such line from line ${next} on: ${line}\n${lines.slice(next).join("\n")}`).not.toBe(-1);
      next = at + 1;
    }
  });

  it("repeats in its text the numbers of its commands", () => {
    const shown = new Set(
      blocks.flatMap(({ expected }) => expected.flatMap((line) => line.match(/\d+(\.\d+)?/g) ?? [])),
    );
    const text = page.replace(/```[\s\S]*?```/g, "").replace(/<!--[\s\S]*?-->/g, "");
    for (const [, number] of text.matchAll(/(\d+\.\d+|\d+)(?= (?:bits|points|%))/g))
      expect([...shown], number).toContain(number);
  });
});
