import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { ModelError } from "../core/errors.ts";
import { filesBelow, sizeOf } from "./local-files.ts";
import type { OllamaReference } from "./reference.ts";
import type { ResolvedModel } from "./resolved-model.ts";

/** Where Ollama's service keeps its models on Linux: it runs as a user of its own. */
const SERVICE_FOLDER = "/usr/share/ollama/.ollama/models";
/** Layers are named by a media type that begins so. */
const LAYER = "application/vnd.ollama.image.";
/** Layers that say nothing of what is computed. */
const SILENT = new Set(["model", "license"]);
/** What Ollama does with other layers, and what becomes of that here. */
const NOT_APPLIED: Readonly<Record<string, string>> = {
  template: "its template (chats go through the GGUF's own; Ollama's are Go templates, not Jinja)",
  system: "its system prompt (put it into the messages)",
  messages: "its first messages (put them into the messages)",
  params: "its parameters (temperature, stop ...: set them here)",
  prompt: "its prompt",
  projector: "its projector (images do not go in)",
};
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

type Layer = z.infer<typeof manifest>["layers"][number];

/** The folders in which Ollama keeps models, in the order in which they are searched. */
export function ollamaFolders(env: NodeJS.ProcessEnv, home: string): string[] {
  if (env.OLLAMA_MODELS) return [env.OLLAMA_MODELS];
  const own = join(home, ".ollama", "models");
  return process.platform === "linux" ? [own, SERVICE_FOLDER] : [own];
}

/**
 * Find the GGUF of a model that Ollama has pulled: `manifests/<host>/<namespace>/<name>/<tag>` names the layers, and the
 * layer of type `application/vnd.ollama.image.model` is a GGUF file under `blobs/`. Layers that change what the model computes are
 * refused; those that change prompts are named in the notes.
 *
 * @throws ModelError `MODEL_NOT_FOUND`, listing what Ollama has; `MODEL_INVALID` for a damaged manifest or blob;
 * `MODEL_UNSUPPORTED` for a model that is no GGUF, is split, or has an adapter.
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
    if (found) {
      const { path, notes } = await modelBlob(folder, found);
      return { path, source: `ollama:${displayName(found)}`, ...(notes.length > 0 && { notes }) };
    }
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

async function modelBlob(folder: string, model: string): Promise<{ path: string; notes: readonly string[] }> {
  const name = displayName(model);
  const again = `run "ollama pull ${name}" again`;
  const path = join(folder, "manifests", model);
  const layers = await layersOf(path).catch((cause) => {
    throw new ModelError(
      "MODEL_INVALID",
      `cannot read Ollama's manifest ${path} (${cause.message}); ${again}`,
      {
        cause,
      },
    );
  });
  const blobOf = ({ digest }: Layer) => join(folder, "blobs", digest.replace(":", "-"));
  const of = (kind: string) => layers.filter(({ mediaType }) => mediaType === LAYER + kind);
  const [layer, ...further] = of("model");
  if (!layer)
    throw new ModelError(
      "MODEL_UNSUPPORTED",
      `Ollama's ${name} is not stored as GGUF; llama.cpp runs GGUF models only`,
    );
  const [adapter] = of("adapter");
  if (adapter)
    throw new ModelError(
      "MODEL_UNSUPPORTED",
      `Ollama's ${name} is a base model with an adapter (${blobOf(adapter)}), which changes what it computes and cannot be ` +
        "applied here; merge it into the model with llama.cpp's llama-export-lora and load that file",
    );
  if (further.length > 0)
    throw new ModelError(
      "MODEL_UNSUPPORTED",
      `Ollama's ${name} is split into ${1 + further.length} files (${[layer, ...further].map(blobOf).join(", ")}); ` +
        "llama.cpp finds parts by their names: link them to model-00001-of-" +
        `${String(1 + further.length).padStart(5, "0")}.gguf and so on, or merge them with llama-gguf-split --merge`,
    );
  const blob = blobOf(layer);
  const size = await sizeOf(blob);
  if (size !== layer.size)
    throw new ModelError(
      "MODEL_INVALID",
      `Ollama's file of ${name}, ${blob}, ${size === null ? "is not there or may not be read" : `has ${size} bytes, not ${layer.size}`}; ${again}`,
    );
  return { path: blob, notes: notesOf(name, layers) };
}

/** What Ollama would do with the model and is not done here. */
function notesOf(name: string, layers: readonly Layer[]): string[] {
  const kinds = new Set(layers.map(({ mediaType }) => mediaType.replace(LAYER, "")));
  const left = [...kinds].filter((kind) => !SILENT.has(kind));
  if (left.length === 0) return [];
  const words = left.map((kind) => NOT_APPLIED[kind] ?? `a layer of type ${JSON.stringify(kind)}`);
  return [`of Ollama's ${name} the weights alone are used, not ${words.join(", nor ")}`];
}

async function layersOf(path: string): Promise<readonly Layer[]> {
  return manifest.parse(JSON.parse(await readFile(path, "utf8"))).layers;
}
