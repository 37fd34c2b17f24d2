import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, onTestFinished, test } from "vitest";
import { analyzeCapture } from "../../src/analysis/analyze.ts";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { MoescopeError } from "../../src/core/errors.ts";
import { exportCapture } from "../../src/export/export-capture.ts";
import { EXPORT_FORMATS } from "../../src/export/formats.ts";
import { startServer } from "../../src/server/host/serve.ts";
import { reportHtml } from "../../src/views/html/report.ts";
import { analysisView } from "../../src/views/terminal/analysis/analysis.ts";
import { terminalOf } from "../../src/views/terminal/terminal.ts";
import { capturePath } from "../store/folder.ts";
import { drive, syntheticRun } from "../store/synthetic.ts";

/** Every value of a manifest gets each of these; a test run does one in so many: MOESCOPE_FUZZ_RUNS=2000 does them all. */
const EVERY = Number(process.env.MOESCOPE_FUZZ_RUNS ?? 300) >= 2000 ? 1 : 9;
const MARKUP = "<script>\u001b[2J";
const VALUES: readonly unknown[] = [
  0,
  -1,
  1,
  7,
  2 ** 31,
  2 ** 52,
  1e308,
  "NaN",
  "",
  "x".repeat(1_000_000),
  MARKUP,
  null,
  true,
  [],
  [0],
  {},
];

type Step = string | number;

function placesIn(value: unknown, path: readonly Step[] = []): (readonly Step[])[] {
  if (typeof value !== "object" || value === null) return [path];
  return [path, ...Object.entries(value).flatMap(([key, inner]) => placesIn(inner, [...path, key]))];
}

function withValue(document: unknown, path: readonly Step[], value: unknown): unknown {
  const [key, ...rest] = path;
  if (key === undefined) return value;
  const copy: Record<Step, unknown> = Array.isArray(document)
    ? ([...document] as unknown as Record<Step, unknown>)
    : { ...(document as Record<Step, unknown>) };
  copy[key] = withValue(copy[key], rest, value);
  return copy;
}

/** What the server is asked of a capture. */
const QUESTIONS = [
  "",
  "/rows?limit=50",
  "/rows/token_id",
  "/vocabulary",
  "/usage",
  "/balance",
  "/map",
  "/map/entropy/0/0",
  "/experts/1/0/0",
  "/coactivation/1",
  "/similarity/1/0",
  "/analysis",
  "/analysis/1",
  "/atlas",
  "/tokens/0",
  "/streams/router_logits/1",
  "/streams/hidden_states/0",
  "/streams/expert_ids/3",
];

/** A message is read by people, whatever was in the file. */
const MAX_MESSAGE = 4000;

test("any value of a manifest by another: each command ends with an answer or a typed error", {
  timeout: 3_600_000,
}, async () => {
  const folder = await capturePath();
  const run = syntheticRun({ lengths: [5, 6, 4, 5] });
  await drive(run, new FolderSink(folder, { shardBytes: 9 * 193 }));
  const path = join(folder, "manifest.json");
  const good = JSON.parse(await readFile(path, "utf8"));
  const unexpected: unknown[] = [];
  const server = await startServer({ folders: [folder], onUnexpected: (error) => unexpected.push(error) });
  onTestFinished(() => server.close());
  const ask = async (question: string) => {
    const response = await fetch(`http://127.0.0.1:${server.port}/api/captures${question}`);
    return { status: response.status, body: await response.text() };
  };
  const { captures } = JSON.parse((await ask("")).body);
  const id = captures[0].id as string;

  /** What one use of the folder gives: its error's code, or that it went through. */
  const tried = async (use: () => unknown): Promise<string> => {
    try {
      await use();
      return "right";
    } catch (error) {
      if (!(error instanceof MoescopeError)) throw error;
      expect(error.message.length).toBeLessThan(MAX_MESSAGE);
      return error.code;
    }
  };
  const counts: Record<string, number> = {};
  const edits = placesIn(good).flatMap((place) => VALUES.map((value) => ({ place, value })));
  for (const [i, { place, value }] of edits.entries()) {
    if (i % EVERY !== 0) continue;
    await writeFile(path, JSON.stringify(withValue(good, place, value)) ?? "null");
    const told = `${place.join(".")} = ${String(JSON.stringify(value)).slice(0, 40)}`;
    const memory = process.memoryUsage().arrayBuffers;
    try {
      const opened = await tried(() => openCapture(folder));
      expect(["right", "CAPTURE_INVALID"]).toContain(opened);
      counts[opened] = (counts[opened] ?? 0) + 1;
      if (opened === "right") await useAll(folder, tried);
      for (const question of opened === "right" ? QUESTIONS : QUESTIONS.slice(0, 1)) {
        const { status, body } = await ask(`/${id}${question}`);
        if (status >= 500) throw new Error(`${question}: ${status} ${body.slice(0, 500)}`);
        if (status >= 400) expect(body.length).toBeLessThan(MAX_MESSAGE);
      }
      expect((await ask("")).status).toBe(200);
      expect(unexpected).toEqual([]);
      expect(process.memoryUsage().arrayBuffers - memory).toBeLessThan(256 * 2 ** 20);
    } catch (error) {
      throw new Error(`${told}: ${(error as Error).stack}`, { cause: error });
    }
  }
  if (EVERY === 1) console.log(counts);
  expect(counts.CAPTURE_INVALID).toBeGreaterThan(edits.length / EVERY / 2);
  expect(counts.right).toBeGreaterThan(0);
});

/** What the command line does with a capture. */
async function useAll(folder: string, tried: (use: () => unknown) => Promise<string>): Promise<void> {
  const capture = await openCapture(folder);
  for (const stream of capture.streams)
    await tried(() => {
      for (const [,] of capture.stream(stream));
    });
  await tried(async () => {
    const analysis = await analyzeCapture(capture, { permutations: 9, threads: 1 });
    expect(reportHtml(analysis)).not.toContain(MARKUP);
    JSON.stringify(analysis);
    const lines = analysisView(analysis, folder, terminalOf({ isTTY: false }, {}));
    expect(lines.join("")).not.toMatch(/\p{Cc}/u);
    expect(lines.join("").length).toBeLessThan(200 * lines.length);
  });
  for (const format of EXPORT_FORMATS)
    await tried(async () => exportCapture(capture, format, join(await capturePath(), "..", format)));
}
