import { readFile } from "node:fs/promises";
import { isAbsolute, join } from "node:path";
import { z } from "zod";
import { ModelError } from "../core/errors.ts";
import { filesBelow } from "./local-files.ts";
import { pickModel } from "./pick-model.ts";
import type { LmStudioReference } from "./reference.ts";
import type { ResolvedModel } from "./resolved-model.ts";

/** publisher/model/folder/file.gguf: repositories that keep a split model in a folder are stored as they are. */
const DEPTH = 4;

/**
 * The folders in which LM Studio keeps models, in the order in which they are searched: what its settings name, then its
 * defaults, the one of versions before 0.3.6 last. `~/.lmstudio-home-pointer` names its home when that was moved.
 */
export async function lmStudioFolders(home: string): Promise<string[]> {
  const pointer = await readFile(join(home, ".lmstudio-home-pointer"), "utf8").catch(() => "");
  const moved = pointer.split("\n")[0]!.trim();
  const homes = [
    ...(isAbsolute(moved) ? [moved] : []),
    join(home, ".lmstudio"),
    join(home, ".cache", "lm-studio"),
  ];
  const chosen = await Promise.all(homes.map(downloadsFolder));
  return [
    ...new Set([...chosen.filter((folder) => folder !== null), ...homes.map((each) => join(each, "models"))]),
  ];
}

/** The models folder that was chosen in LM Studio's settings. They are not ours: what is unreadable names none. */
async function downloadsFolder(lmStudioHome: string): Promise<string | null> {
  try {
    const text = await readFile(join(lmStudioHome, "settings.json"), "utf8");
    const { downloadsFolder: folder } = z.object({ downloadsFolder: z.string() }).parse(JSON.parse(text));
    return isAbsolute(folder) ? folder : null;
  } catch {
    return null;
  }
}

/**
 * Find a model in LM Studio's folders.
 *
 * @throws ModelError `MODEL_NOT_FOUND`, listing what LM Studio has, or which files the model has.
 */
export async function resolveLmStudioModel(
  reference: LmStudioReference,
  folders: readonly string[],
): Promise<ResolvedModel> {
  const known = new Set<string>();
  let otherFormat = false;
  for (const folder of folders) {
    const all = await filesBelow(folder, DEPTH);
    for (const [model, files] of groupByModel(all)) {
      known.add(model);
      if (model.toLowerCase() !== reference.model.toLowerCase()) continue;
      const file = pickModel(files, reference, `lmstudio:${model}`)[0]!;
      return { path: join(folder, model, file), source: `lmstudio:${model}/${file}` };
    }
    const inside = `${reference.model.toLowerCase()}/`;
    otherFormat ||= all.some((file) => file.toLowerCase().startsWith(inside) && /\.safetensors$/i.test(file));
  }
  if (otherFormat)
    throw new ModelError(
      "MODEL_UNSUPPORTED",
      `LM Studio has ${reference.model} as safetensors (for MLX), not as GGUF, which llama.cpp runs; download its GGUF, or ` +
        "run the checkpoint with --engine vllm",
    );
  throw new ModelError(
    "MODEL_NOT_FOUND",
    `LM Studio has no model ${reference.model} (looked in ${folders.join(", ")})` +
      (known.size > 0
        ? `; it has: ${[...known].join(", ")}`
        : "; download it there first, or use hf:org/repo"),
  );
}

/** The `.gguf` files of each `publisher/model`, relative to its folder. */
function groupByModel(files: readonly string[]): Map<string, string[]> {
  const models = new Map<string, string[]>();
  for (const file of files) {
    const [publisher, name, ...inner] = file.split("/");
    if (inner.length === 0 || !/\.gguf$/i.test(file)) continue;
    const model = `${publisher}/${name}`;
    models.set(model, [...(models.get(model) ?? []), inner.join("/")]);
  }
  return models;
}
