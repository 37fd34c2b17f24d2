import { createHash } from "node:crypto";
import { copyFile, mkdir, truncate, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { beforeEach, describe, expect, test, vi } from "vitest";
import { inspectFile } from "../../src/engines/llama/model/gguf.ts";
import { inspectModel } from "../../src/run/load.ts";
import { ollamaFolders, resolveOllamaModel } from "../../src/sources/ollama.ts";
import { type OllamaReference, parseModelReference } from "../../src/sources/reference.ts";
import { resolveModel } from "../../src/sources/resolve.ts";
import { temporaryFolder } from "./temporary-folder.ts";

const FIXTURE = fileURLToPath(new URL("../../fixtures/olmoe.gguf", import.meta.url));
const SIZE = 209_088;
const DIGEST = createHash("sha256").update("olmoe").digest("hex");

let home: string;
let models: string;

beforeEach(async () => {
  home = await temporaryFolder();
  models = join(home, ".ollama", "models");
  await mkdir(join(models, "blobs"), { recursive: true });
  await copyFile(FIXTURE, join(models, "blobs", `sha256-${DIGEST}`));
  await writeManifest("registry.ollama.ai/library/qwen3/30b-a3b");
  await writeManifest("registry.ollama.ai/library/olmoe/latest");
  await writeManifest("registry.ollama.ai/me/mine/v1");
  await writeManifest("hf.co/org/Repo-GGUF/Q4_K_M");
});

/** As Ollama writes it. */
async function writeManifest(
  name: string,
  layer: object = {},
  further: readonly string[] = [],
): Promise<void> {
  const path = join(models, "manifests", name);
  await mkdir(dirname(path), { recursive: true });
  const config = { mediaType: "application/vnd.docker.container.image.v1+json", digest: "sha256:0", size: 1 };
  const model = {
    mediaType: "application/vnd.ollama.image.model",
    digest: `sha256:${DIGEST}`,
    size: SIZE,
    ...layer,
  };
  const license = {
    mediaType: "application/vnd.ollama.image.license",
    digest: `sha256:${"1".repeat(64)}`,
    size: 7,
  };
  const others = further.map((kind) => ({
    mediaType: `application/vnd.ollama.image.${kind}`,
    digest: `sha256:${DIGEST}`,
    size: SIZE,
  }));
  await writeFile(path, JSON.stringify({ schemaVersion: 2, config, layers: [license, model, ...others] }));
}

const resolve = (reference: string) =>
  resolveOllamaModel(parseModelReference(reference) as OllamaReference, [models]);
const blob = () => join(models, "blobs", `sha256-${DIGEST}`);

test.each([
  ["ollama:qwen3:30b-a3b", "ollama:qwen3:30b-a3b"],
  ["ollama:library/qwen3:30B-A3B", "ollama:qwen3:30b-a3b"],
  ["ollama:olmoe", "ollama:olmoe:latest"],
  ["ollama:me/mine:v1", "ollama:me/mine:v1"],
  ["ollama:hf.co/org/repo-gguf:q4_k_m", "ollama:hf.co/org/Repo-GGUF:Q4_K_M"],
])("%s", async (reference, source) => {
  expect(await resolve(reference)).toEqual({ path: blob(), source });
});

test("through the public entrance, and the file is a model", async () => {
  const { path } = await resolveModel("ollama:olmoe", { env: { OLLAMA_MODELS: models }, home });
  expect((await inspectFile(path)).architecture).toBe("olmoe");
});

test("an unknown name lists what there is", async () => {
  await expect(resolve("ollama:qwen3")).rejects.toMatchObject({
    code: "MODEL_NOT_FOUND",
    message: `Ollama has no model qwen3:latest (looked in ${models}); it has: hf.co/org/Repo-GGUF:Q4_K_M, olmoe:latest, qwen3:30b-a3b, me/mine:v1`,
  });
});

test("without Ollama it says how to get the model", async () => {
  await expect(
    resolveOllamaModel(parseModelReference("ollama:qwen3") as OllamaReference, [join(home, "none")]),
  ).rejects.toThrow('get it with "ollama pull qwen3:latest"');
});

describe("damage", () => {
  test("a manifest that is none", async () => {
    await writeFile(join(models, "manifests/registry.ollama.ai/library/olmoe/latest"), '{"layers": 1');
    await expect(resolve("ollama:olmoe")).rejects.toMatchObject({
      code: "MODEL_INVALID",
      message: expect.stringContaining('run "ollama pull olmoe:latest" again'),
    });
  });

  test("a digest that would leave the folder", async () => {
    await writeManifest("registry.ollama.ai/library/olmoe/latest", { digest: "sha256:../../../etc/passwd" });
    await expect(resolve("ollama:olmoe")).rejects.toMatchObject({ code: "MODEL_INVALID" });
  });

  test("a pull that was cut", async () => {
    await truncate(blob(), 100);
    await expect(resolve("ollama:olmoe")).rejects.toThrow(`has 100 bytes, not ${SIZE}`);
  });

  test("a blob that is not there", async () => {
    await writeManifest("registry.ollama.ai/library/olmoe/latest", { digest: `sha256:${"2".repeat(64)}` });
    await expect(resolve("ollama:olmoe")).rejects.toThrow("is not there or may not be read");
  });

  test("a model in another format", async () => {
    await writeManifest("registry.ollama.ai/library/olmoe/latest", {
      mediaType: "application/vnd.ollama.image.tensor",
    });
    await expect(resolve("ollama:olmoe")).rejects.toMatchObject({ code: "MODEL_UNSUPPORTED" });
  });
});

describe("layers besides the weights", () => {
  const withLayers = (...layers: string[]) =>
    writeManifest("registry.ollama.ai/library/more/latest", {}, layers).then(() => resolve("ollama:more"));

  test("an adapter changes what is computed: refused", async () => {
    const error = await withLayers("template", "adapter").catch((reason) => reason);
    expect(error).toMatchObject({ code: "MODEL_UNSUPPORTED" });
    expect(error.message).toContain(`an adapter (${blob()})`);
  });

  test("several parts cannot be found by their names: refused", async () => {
    await expect(withLayers("model")).rejects.toMatchObject({
      code: "MODEL_UNSUPPORTED",
      message: expect.stringContaining("split into 2 files"),
    });
  });

  test("what changes prompts is named", async () => {
    const { notes } = await withLayers("template", "system", "params", "projector", "news");
    expect(notes).toHaveLength(1);
    for (const words of [
      "its template",
      "not Jinja",
      "its system prompt",
      "its parameters",
      "its projector",
      '"news"',
    ])
      expect(notes![0]).toContain(words);
  });

  test("and warned of where the model is read", async () => {
    await withLayers("system");
    vi.stubEnv("OLLAMA_MODELS", models);
    const warnings = vi.spyOn(process, "emitWarning").mockImplementation(() => {});
    await inspectModel("ollama:more");
    await inspectModel("ollama:olmoe");
    expect(warnings.mock.calls).toEqual([
      [
        expect.stringContaining("its system prompt"),
        { type: "MoescopeWarning", code: "MODEL_PARTS_NOT_USED" },
      ],
    ]);
    vi.restoreAllMocks();
    vi.unstubAllEnvs();
  });
});

test("OLLAMA_MODELS is the only folder when it is set", () => {
  expect(ollamaFolders({ OLLAMA_MODELS: "/data/ollama" }, "/home/me")).toEqual(["/data/ollama"]);
  expect(ollamaFolders({}, "/home/me")[0]).toBe(join("/home/me", ".ollama", "models"));
});
