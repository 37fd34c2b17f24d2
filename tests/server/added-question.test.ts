import { rmSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { build } from "tsdown";
import { expect, expectTypeOf, it, onTestFinished } from "vitest";
import { packageRoot } from "../../src/core/package-root.ts";
import { findCaptures } from "../../src/server/captures/capture-folders.ts";
import { CaptureLibrary } from "../../src/server/captures/capture-library.ts";
import { type AppParts, createApp } from "../../src/server/host/app.ts";
import { questions } from "../../src/server/questions/index.ts";
import { Client } from "../../web/src/data/client.ts";
import { longestToken } from "./added-question/longest-token.ts";
import { captureInto, temporaryFolder } from "./serving.ts";

it("a question of one file is in the routes, the description, the worker and the explorer's client", async () => {
  const folder = temporaryFolder();
  await captureInto(join(folder, "run"));
  // Within the package: what it imports is found from there.
  const built = join(packageRoot, ".cache", `added-question-${process.pid}`);
  onTestFinished(() => rmSync(built, { recursive: true, force: true }));
  const entry = fileURLToPath(new URL("./added-question/worker.ts", import.meta.url));
  await build({ entry, outDir: built, config: false, logLevel: "error", dts: false, fixedExtension: false });
  const roots = [{ path: folder, origin: "folder" as const }];
  const library = new CaptureLibrary(roots, pathToFileURL(join(built, "worker.js")));
  onTestFinished(() => library.close());
  const app = createApp({
    access: { host: "127.0.0.1", token: null, names: [] },
    library,
    explorer: new Map(),
    questions: [...questions, longestToken],
  } as unknown as AppParts);
  const ask = async (path: string, init: RequestInit = {}) =>
    app.request(path, { ...init, headers: { host: "127.0.0.1" } });

  // The description.
  const { paths } = (await (await ask("/api/openapi.json")).json()) as {
    paths: Record<string, { get: { parameters: { name: string; in: string; required: boolean }[] } }>;
  };
  const { parameters } = paths["/api/captures/{id}/longest-token/{sample}"]!.get;
  expect(parameters.map((of) => [of.name, of.in, of.required])).toEqual([
    ["id", "path", true],
    ["sample", "path", true],
    ["upper", "query", false],
  ]);

  // The client, whose types come from the declaration; the route and the worker behind it.
  const client = new Client<typeof longestToken>(ask);
  const { id } = (await findCaptures(roots))[0]!;
  const path = "/api/captures/{id}/longest-token/{sample}";
  const answer = await client.get(path, { id, sample: 1, upper: "yes" });
  expectTypeOf(answer).toEqualTypeOf<{ text: string; rows: number }>();
  expect(longestToken.answer.schema().safeParse(answer).success).toBe(true);
  const plain = await client.get(path, { id, sample: 1 });
  expect(answer).toEqual({ text: plain.text.toUpperCase(), rows: plain.rows });
  expect(plain.rows).toBeGreaterThan(4);
  // @ts-expect-error A sample is a number.
  void (() => client.get(path, { id, sample: "first" }));
  // @ts-expect-error There is no such path.
  void (() => client.get("/api/captures/{id}/shortest-token", { id }));

  // Its checks.
  const refused = await ask(`/api/captures/${id}/longest-token/-1`);
  expect([refused.status, await refused.json()]).toMatchObject([
    400,
    { error: { code: "INVALID_REQUEST", message: expect.stringContaining("the path is wrong at sample") } },
  ]);
});
