import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import newest from "typescript";
import { beforeAll, describe, expect, test } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";
import { oldTypescript } from "../setup/old-typescript.ts";

/** Compilers have to read all of the declarations, zod's and Node's too. */
const MINUTES = 5 * 60_000;

/** What a user writes. The package's own name resolves from inside its folder, through its `exports`, as it does for a user. */
const USER = `
import { Capture, CaptureError, FolderSink, load, type CaptureOptions, type LanguageModel, type Sink } from "moescope";
import * as api from "moescope";
import * as analysis from "moescope/analysis";

export const all = [api, analysis];

export async function use(options: CaptureOptions, mine: Sink<number>): Promise<number> {
  await using llm: LanguageModel = await load("model.gguf", { contextSize: 512 });
  const capture = await llm.capture(["a", { prompt: "b", label: "c" }], { streams: ["expert_ids"], signal: new AbortController().signal });
  for (const [layer, { data }] of capture.expertIds) console.log(layer, data.length);
  // @ts-expect-error not captured
  capture.routerLogits.get(3);
  const any: Capture = await llm.capture("a", { ...options, into: new FolderSink("run1", { dtype: "float16" }) });
  const usage = analysis.expertUsage(any);
  const counted = await llm.capture("a", { into: analysis.combine({ usage: analysis.usageReducer(), mine: analysis.reducer(analysis.measures.balance) }) });
  for (const { layer } of (await analysis.analyzeCapture(any)).layers) console.log(layer, usage.layers.get(layer)?.counts, counted.usage.layers.size);
  if (new CaptureError("CAPTURE_INVALID", "").code === "CAPTURE_EXISTS") return 0;
  return llm.capture("a", { into: mine });
}

export function refused(capture: Capture, llm: LanguageModel): void {
  // @ts-expect-error captures come from a model or a folder
  new Capture(capture);
  // @ts-expect-error nor this way
  new Capture();
  // @ts-expect-error nor by what stands in for the constructor inside
  Capture.of(capture);
  // @ts-expect-error nor the rows of one
  new (capture.rows.constructor as typeof api.Rows)();
  // @ts-expect-error the writing of bytes is for tests
  new FolderSink("run1", {}, () => Promise.resolve());
  // @ts-expect-error models come from load
  new api.LanguageModel(llm);
}
`;

type Compiler = typeof newest;
type Resolution = "node16" | "bundler";

/** What a compiler says of a program that uses everything, and the files that it read. */
function compile(ts: Compiler, resolution: Resolution, withNode: boolean) {
  const folder = join(packageRoot, ".cache", "declarations");
  mkdirSync(folder, { recursive: true });
  const file = join(folder, "user.mts");
  writeFileSync(file, USER);
  const { options, errors } = ts.convertCompilerOptionsFromJson(
    {
      strict: true,
      skipLibCheck: false,
      noEmit: true,
      target: "es2022",
      module: resolution === "node16" ? "node16" : "esnext",
      moduleResolution: resolution,
      types: withNode ? ["node"] : [],
      lib: ["es2022", "esnext.disposable", ...(withNode ? [] : ["dom"])],
    },
    packageRoot,
  );
  expect(errors).toEqual([]);
  const program = ts.createProgram([file], options);
  const files = program.getSourceFiles();
  // TypeScript's own files and Node's are left out: they say nothing of us, and take most of the time.
  const ours = files.filter(
    ({ fileName }) => !/\/typescript[^/]*\/(package\/)?lib\/|\/@types\/node\//.test(fileName),
  );
  const said = [
    ...program.getGlobalDiagnostics(),
    ...ours.flatMap((of) => [...program.getSyntacticDiagnostics(of), ...program.getSemanticDiagnostics(of)]),
  ].map(({ file, start, messageText }) => {
    const line = file && start !== undefined ? file.getLineAndCharacterOfPosition(start).line + 1 : 0;
    return `${file?.fileName.replace(packageRoot, "")}:${line} ${ts.flattenDiagnosticMessageText(messageText, " ")}`;
  });
  return { said, files: files.map(({ fileName }) => fileName) };
}

describe("the declarations compile strictly, and those of what they import", () => {
  let oldest: Compiler;
  beforeAll(async () => {
    oldest = await oldTypescript();
  }, MINUTES);

  // Every pair of a version, a way to resolve modules, and Node's types is in one of them.
  test.each<{ version: string; resolution: Resolution; withNode: boolean }>([
    { version: "5.4", resolution: "node16", withNode: true },
    { version: "5.4", resolution: "bundler", withNode: false },
    { version: "6.0", resolution: "bundler", withNode: true },
    { version: "6.0", resolution: "node16", withNode: false },
  ])(
    "TypeScript $version, module resolution $resolution, @types/node: $withNode",
    { timeout: MINUTES },
    ({ version, resolution, withNode }) => {
      const ts = version === "5.4" ? oldest : newest;
      expect(ts.versionMajorMinor).toBe(version);
      const { said, files } = compile(ts, resolution, withNode);
      expect(said).toEqual([]);
      for (const entry of ["index", "analysis"])
        expect(files).toContain(join(packageRoot, "dist", `${entry}.d.ts`));
      expect(files.some((file) => file.includes("@types/node/"))).toBe(withNode);
    },
  );
});
