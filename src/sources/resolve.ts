import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { ModelError } from "../core/errors.ts";
import { parseModelReference } from "./reference.ts";
import type { ResolvedModel, ResolveOptions } from "./resolved-model.ts";

/**
 * Find the local file of a model reference (see `parseModelReference`), downloading it when it is one of the Hugging
 * Face Hub that is not in the cache. Whether a path leads to a model is for the engine to say.
 *
 * @throws RequestError for a malformed reference; ModelError `MODEL_NOT_FOUND`, `MODEL_INVALID` or
 * `MODEL_DOWNLOAD_FAILED`, saying what to do; the signal's reason when it was aborted.
 */
export async function resolveModel(reference: string, options: ResolveOptions = {}): Promise<ResolvedModel> {
  const parsed = parseModelReference(reference);
  const { env = process.env, home = homedir() } = options;
  // Loaded when needed: a local path should not wait for the hub's client.
  switch (parsed.kind) {
    case "path":
      return resolvePath(parsed.path, home);
    case "hf":
      return (await import("./hub.ts")).resolveHubModel(parsed, { ...options, env, home });
    case "ollama": {
      const { ollamaFolders, resolveOllamaModel } = await import("./ollama.ts");
      return resolveOllamaModel(parsed, ollamaFolders(env, home));
    }
    case "lmstudio": {
      const { lmStudioFolders, resolveLmStudioModel } = await import("./lm-studio.ts");
      return resolveLmStudioModel(parsed, await lmStudioFolders(home));
    }
  }
}

/**
 * A path as it is, `~` for the home folder replaced.
 *
 * @throws ModelError `MODEL_NOT_FOUND` where there is nothing, or a folder, and it can be said what was probably meant.
 */
async function resolvePath(given: string, home: string): Promise<ResolvedModel> {
  const path = /^~[/\\]/.test(given) && !existsSync(given) ? join(home, given.slice(2)) : given;
  const info = await stat(path).catch(() => null);
  if (info === null || info.isDirectory()) {
    // Loaded when needed: most references are right.
    const { folderAdvice, missingFileAdvice } = await import("./reference-advice.ts");
    const advice = info === null ? missingFileAdvice(given) : await folderAdvice(path);
    if (advice !== null) throw new ModelError("MODEL_NOT_FOUND", `no model at ${path}: ${advice}`);
  }
  return { path, source: path };
}
