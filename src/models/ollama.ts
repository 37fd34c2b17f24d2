import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ModelError } from "../errors.ts";
import { filesBelow, sizeOf } from "./local-files.ts";
import type { OllamaReference } from "./reference.ts";
import type { ResolvedModel } from "./resolve.ts";

/** Where Ollama's service keeps its models on Linux: it runs as a user of its own. */
const SERVICE_FOLDER = "/usr/share/ollama/.ollama/models";
const MODEL_LAYER = "application/vnd.ollama.image.model";
/** host/namespace/name/tag */
const MANIFEST_DEPTH = 4;

const manifest = z.object({
  layers: z.array(
    z.object({
      mediaType: z.string(),
      // It becomes a file name, so nothing but a digest may pass.
      digest: z.string().regex(/^sha256:[0-9a-f]{64}$/),
      size: z.int().nonnegative(),
    }),
  ),
});

/** The folders in which Ollama keeps models, in the order in which they are searched. */
export function ollamaFolders(env: NodeJS.ProcessEnv, home: string): string[] {
  if (env.OLLAMA_MODELS) return [env.OLLAMA_MODELS];
  const own = join(home, ".ollama", "models");
  return process.platform === "linux" ? [own, SERVICE_FOLDER] : [own];
}

/**
 * Find the GGUF of a model that Ollama has pulled: `manifests/<host>/<namespace>/<name>/<tag>` names the layers, and the
 * layer of type `application/vnd.ollama.image.model` is a GGUF file under `blobs/`.
 *
 * @throws ModelError `MODEL_NOT_FOUND`, listing what Ollama has; `MODEL_INVALID` for a damaged manifest or blob;
 * `MODEL_UNSUPPORTED` for a model that is no GGUF.
 */
export async function resolveOllamaModel(
  reference: OllamaReference,
  folders: readonly string[],
): Promise<ResolvedModel> {
  const { host, namespace, name, tag } = reference;
  const wanted = `${host}/${namespace}/${name}/${tag}`;
  const known: string[] = [];
  for (const folder of folders) {
    const models = await filesBelow(join(folder, "manifests"), MANIFEST_DEPTH);
    // Ollama itself takes a model's name in any case.
    const found = models.find((model) => model.toLowerCase() === wanted.toLowerCase());
    if (found) return { path: await modelBlob(folder, found), source: `ollama:${displayName(found)}` };
    known.push(...models.filter((model) => model.split("/").length === MANIFEST_DEPTH).map(displayName));
  }
  throw new ModelError(
    "MODEL_NOT_FOUND",
    `Ollama has no model ${displayName(wanted)} (looked in ${folders.join(", ")}); ` +
      (known.length > 0
        ? `it has: ${known.join(", ")}`
        : `get it with "ollama pull ${displayName(wanted)}", or set OLLAMA_MODELS to where Ollama keeps its models`),
  );
}

/** `registry.ollama.ai/library/qwen3/30b-a3b` as Ollama shows it: `qwen3:30b-a3b`. */
function displayName(path: string): string {
  const [host, namespace, name, tag] = path.split("/");
  if (host !== "registry.ollama.ai") return `${host}/${namespace}/${name}:${tag}`;
  return namespace === "library" ? `${name}:${tag}` : `${namespace}/${name}:${tag}`;
}

async function modelBlob(folder: string, model: string): Promise<string> {
  const name = displayName(model);
  const again = `run "ollama pull ${name}" again`;
  const path = join(folder, "manifests", model);
  const layer = await modelLayer(path).catch((cause) => {
    throw new ModelError(
      "MODEL_INVALID",
      `cannot read Ollama's manifest ${path} (${cause.message}); ${again}`,
      {
        cause,
      },
    );
  });
  if (!layer)
    throw new ModelError(
      "MODEL_UNSUPPORTED",
      `Ollama's ${name} is not stored as GGUF; llama.cpp runs GGUF models only`,
    );
  const blob = join(folder, "blobs", layer.digest.replace(":", "-"));
  const size = await sizeOf(blob);
  if (size !== layer.size)
    throw new ModelError(
      "MODEL_INVALID",
      `Ollama's file of ${name}, ${blob}, ${size === null ? "is not there or may not be read" : `has ${size} bytes, not ${layer.size}`}; ${again}`,
    );
  return blob;
}

async function modelLayer(path: string) {
  const { layers } = manifest.parse(JSON.parse(await readFile(path, "utf8")));
  return layers.find(({ mediaType }) => mediaType === MODEL_LAYER);
}
