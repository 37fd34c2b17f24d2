import { execFileSync, spawn } from "node:child_process";
import { cpSync, mkdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";
import { captureInto } from "../server/serving.ts";

/** A copy of the package with one measure more: its file, and its line in the registry. Nothing else is touched. */
const copy = join(packageRoot, ".cache", "new-measure");
const run = join(copy, "captures", "run");

/** How often the layer's first expert is chosen first, and how often the second time. */
const MEASURE = `
import { schema } from "../../core/schema.ts";
import type { StreamMeasure } from "./measure.ts";

interface Firsts {
  rows: number;
  first: number;
}

export const firsts: StreamMeasure<"firsts", { readonly rows: number; readonly first: number }, Firsts> = {
  name: "firsts",
  scope: "layer",
  cost: "count",
  keeps: {
    needs: ["chosen"],
    start: () => ({ rows: 0, first: 0 }),
    take(state, { ids, rows, topK }) {
      state.rows += rows;
      for (let row = 0; row < rows; row++) if (ids[row * topK] === 0) state.first++;
    },
    merge: (a, b) => ({ rows: a.rows + b.rows, first: a.first + b.first }),
    toJson: (state) => state,
    fromJson: () => schema((z) => z.object({ rows: z.int(), first: z.int() }))(),
  },
  layer: (state) => state,
  schema: schema((z) => z.strictObject({ rows: z.int(), first: z.int() })),
  words: {
    title: "Rows of expert 0",
    text: "Rows whose best expert is the layer's first.",
    uncertainty: "none",
    terms: { firsts: { title: "Expert 0", text: "The first expert of a layer." } },
  },
};
`;
const LINE = 'export { firsts } from "./firsts.ts";\n';

beforeAll(async () => {
  rmSync(copy, { recursive: true, force: true });
  mkdirSync(copy, { recursive: true });
  for (const name of ["src", "package.json", "tsconfig.json", "tsdown.config.ts"])
    cpSync(join(packageRoot, name), join(copy, name), { recursive: true });
  symlinkSync(join(packageRoot, "node_modules"), join(copy, "node_modules"));
  const measures = join(copy, "src", "analysis", "measures");
  writeFileSync(join(measures, "firsts.ts"), MEASURE);
  writeFileSync(join(measures, "index.ts"), readFileSync(join(measures, "index.ts"), "utf8") + LINE);
  const tool = (name: string, ...args: string[]) =>
    execFileSync(join(packageRoot, "node_modules", ".bin", name), args, { cwd: copy, stdio: "pipe" });
  tool("tsdown", "--logLevel", "error", "--no-dts");
  // The explorer's page is not needed, the server's folder for it is.
  mkdirSync(join(copy, "dist", "web"), { recursive: true });
  await captureInto(run);
}, 240_000);
afterAll(() => rmSync(copy, { recursive: true, force: true }));

/** An entry point of the package with the measure. */
const built = (entry: string) => import(pathToFileURL(join(copy, "dist", entry)).href);

const cli = (...args: string[]) =>
  execFileSync(process.execPath, [join(copy, "dist", "cli", "main.js"), ...args], { encoding: "utf8" });

describe("a measure that was added with its file and a line", () => {
  let expected: { rows: number; first: number }[];
  beforeAll(async () => {
    const { openCapture } = await import("../../src/capture/folder/folder-source.ts");
    const capture = await openCapture(run);
    expected = [...capture.expertIds].map(([, { dims, data }]) => ({
      rows: dims[0]!,
      first: Array.from({ length: dims[0]! }, (_, row) => data[row * dims[1]!]).filter((id) => id === 0)
        .length,
    }));
    expect(expected.some(({ first }) => first > 0)).toBe(true);
  });

  test("is in what analyzeCapture finds, in this thread and on several", async () => {
    const { analyzeCapture } = await built("analysis.js");
    const { openCapture } = await built("index.js");
    for (const options of [{}, { threads: 2 }, { measures: ["firsts"] }]) {
      const { layers } = await analyzeCapture(await openCapture(run), { permutations: 9, ...options });
      expect(layers.map((layer: { firsts: unknown }) => layer.firsts)).toEqual(expected);
    }
  });

  test("is in --json, and in the terminal and the report without a view of its own", () => {
    const { layers } = JSON.parse(cli("analyze", run, "--json", "--full"));
    expect(layers.map((layer: { firsts: unknown }) => layer.firsts)).toEqual(expected);
    const [one] = expected;
    const lines = cli("analyze", run).split("\n");
    const at = lines.indexOf("Rows of expert 0");
    expect(lines[at + 1]).toBe("  Rows whose best expert is the layer's first.");
    expect(lines[at + 2]).toMatch(/^ +rows +first$/);
    expect(lines[at + 3]).toMatch(new RegExp(`^ +L0 +${one!.rows} +${one!.first}$`));
    const page = join(copy, "report.html");
    cli("report", run, "-o", page);
    const html = readFileSync(page, "utf8");
    expect(html).toContain("<h3>Rows of expert 0</h3>");
    expect(html).toContain(
      `<tr><th scope="row">0</th><td class="n">${one!.rows}</td><td class="n">${one!.first}</td></tr>`,
    );
    expect(html).toContain("<dt>Expert 0</dt><dd>The first expert of a layer.</dd>");
  });

  test("is in the server's answers, in its words and in its description", async () => {
    const child = spawn(
      process.execPath,
      [join(copy, "dist", "cli", "main.js"), "serve", join(copy, "captures"), "--no-open", "--port", "0"],
      { stdio: ["ignore", "pipe", "inherit"] },
    );
    try {
      const url = await new Promise<string>((resolve, reject) => {
        let seen = "";
        child.stdout.on("data", (text) => {
          seen += text;
          const found = /http:\/\/127\.0\.0\.1:\d+/.exec(seen);
          if (found) resolve(found[0]);
        });
        child.on("exit", (code) => reject(new Error(`serve ended with ${code}: ${seen}`)));
      });
      // biome-ignore lint/suspicious/noExplicitAny: whatever the copy's server says
      const json = async (path: string): Promise<any> => (await fetch(url + path)).json();
      const { captures } = await json("/api/captures");
      const { layers } = await json(`/api/captures/${captures[0].id}/analysis`);
      expect(layers.map((layer: { firsts: unknown }) => layer.firsts)).toEqual(expected);
      const layer = await json(`/api/captures/${captures[0].id}/analysis/1`);
      expect(layer.firsts).toEqual(expected[1]);
      const words = await json("/api/words");
      expect(words.terms.firsts.title).toBe("Expert 0");
      expect(JSON.stringify(await json("/api/openapi.json"))).toContain(
        '"Rows whose best expert is the layer\'s first."',
      );
    } finally {
      child.kill();
    }
  });

  test("is a reducer", async () => {
    const { reducer, measures } = await built("analysis.js");
    const { openCapture } = await built("index.js");
    const capture = await openCapture(run);
    const sink = reducer(measures.firsts);
    const layers = [...capture.expertIds.keys()];
    sink.open({ model: capture.model, samples: capture.samples, streams: [{ name: "expert_ids", layers }] });
    sink.write({
      rows: capture.rows.length,
      sample: capture.rows.sample,
      position: capture.rows.position,
      tokenId: capture.rows.tokenId,
      phase: new Uint8Array(capture.rows.length),
      streams: new Map([["expert_ids", new Map(layers.map((l) => [l, capture.expertIds.get(l).data]))]]),
    });
    const found = sink.close({ finished: [] });
    expect([...found.layers.values()]).toEqual(expected);
    expect(
      sink.fromJson(JSON.parse(JSON.stringify(sink.toJson(sink.merge(found, found))))).layers.get(0),
    ).toEqual({
      rows: 2 * expected[0]!.rows,
      first: 2 * expected[0]!.first,
    });
  });
});
