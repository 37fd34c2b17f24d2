import { existsSync } from "node:fs";
import { stat } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { ModelError } from "../core/errors.ts";
import { parseModelReference } from "./reference.ts";

/** How far a download is; bytes count all parts of a split model together, those already here included. */
export interface DownloadProgress {
  /** The file being downloaded, as the repository names it. */
  readonly file: string;
  readonly bytes: number;
  readonly total: number;
}

export interface ResolveOptions {
  /** Stops a download; what has arrived is kept, and the next call continues there. */
  readonly signal?: AbortSignal | undefined;
  /** Called for every piece that arrives, and never when nothing is downloaded. */
  readonly onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Default: the process's. Read: `HF_HOME`, `HF_HUB_CACHE`, `HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`, `OLLAMA_MODELS`. */
  readonly env?: NodeJS.ProcessEnv | undefined;
  /** Default: the global one. */
  readonly fetch?: typeof fetch | undefined;
  /** The user's home folder. */
  readonly home?: string | undefined;
}

export interface ResolvedModel {
  /** A local GGUF file; the first part of a split model, with the others beside it. */
  readonly path: string;
  /** A reference that names this very file, so it says what was chosen: `hf:org/repo/model-Q4_K_M.gguf`. */
  readonly source: string;
  /** What belongs to the model where it lies, and is not used. */
  readonly notes?: readonly string[];
}

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

/** Warn of what belongs to a model where it lies, and is not used. */
export function warnOfNotes(notes: ResolvedModel["notes"] = []): void {
  for (const note of notes)
    process.emitWarning(note, { type: "MoescopeWarning", code: "MODEL_PARTS_NOT_USED" });
}
