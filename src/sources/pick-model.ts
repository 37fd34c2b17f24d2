import { parseGGUFQuantLabel, parseGgufShardFilename } from "@huggingface/gguf";
import { ModelError } from "../core/errors.ts";
import type { Choice } from "./reference.ts";

/** What most people run: llama.cpp and Ollama take it too when nobody says otherwise. */
const DEFAULT_QUANT = "Q4_K_M";
/** In a message; a repository may have hundreds of files. */
const LISTED = 30;

/** One model among files: its only file, or its parts in order. */
interface Candidate {
  readonly files: readonly string[];
  /** The name without folder, part number and extension, in capitals. */
  readonly stem: string;
  /** `Q4_K_M`, `UD-Q4_K_XL`, or nothing when the name has none. */
  readonly label: string | undefined;
}

/**
 * Choose a model among the `.gguf` files of a repository or folder.
 *
 * A quantisation is the label in the file's name (`…-Q4_K_M.gguf`, `UD-Q4_K_XL/…`); failing that, whatever the name
 * ends in. Without a choice: the only model there is, else Q4_K_M. Vision projectors (`mmproj`) and importance matrices
 * are no models.
 *
 * @param files paths with `/`.
 * @param place for messages, e.g. `hf:org/repo`.
 * @returns the file, or all parts of a split model, in order.
 * @throws ModelError `MODEL_NOT_FOUND` when none or more than one fits, listing what there is; when parts are missing.
 */
export function pickModel(
  files: readonly string[],
  { file, quant }: Choice,
  place: string,
): readonly string[] {
  const candidates = candidatesOf(files);
  if (file !== undefined) return pickFile(files, candidates, file, place);
  if (candidates.length === 0)
    throw notFound(
      `${place} has no .gguf model${files.length > 0 ? ` (only ${list(files)})` : ""}; look for a repository whose name ends in -GGUF`,
    );
  if (quant === undefined && candidates.length === 1) return complete(candidates[0]!, place);
  const fitting = ofQuant(candidates, (quant ?? DEFAULT_QUANT).toUpperCase());
  if (fitting.length === 1) return complete(fitting[0]!, place);
  if (fitting.length > 1)
    throw notFound(
      `${place} has ${fitting.length} models with ${quant ?? DEFAULT_QUANT}; name one as ${place}/FILE: ${list(fitting.map(({ files }) => files[0]!))}`,
    );
  throw notFound(
    quant === undefined
      ? `${place} has ${candidates.length} models and none is ${DEFAULT_QUANT}; say which, as ${place}:QUANT: ${list(labels(candidates))}`
      : `${place} has no ${quant}; there are: ${list(labels(candidates))}`,
  );
}

function pickFile(
  files: readonly string[],
  candidates: readonly Candidate[],
  file: string,
  place: string,
): readonly string[] {
  const split = candidates.find((candidate) => candidate.files.includes(file));
  if (split) return complete(split, place);
  // What is named in full is taken as it is, even what looks like no model: the engine will say so.
  if (files.includes(file)) return [file];
  throw notFound(
    `${place} has no ${file}; ${files.length > 0 ? `there are: ${list(files)}` : "it has no .gguf file"}`,
  );
}

function candidatesOf(files: readonly string[]): Candidate[] {
  const models = new Map<string, { path: string; parts: string[] }>();
  for (const file of files) {
    const name = file.slice(file.lastIndexOf("/") + 1);
    if (!/\.gguf$/i.test(name) || /mmproj|imatrix/i.test(name)) continue;
    const shard = parseGgufShardFilename(file);
    const path = shard ? shard.prefix : file.replace(/\.gguf$/i, "");
    const key = `${path} of ${shard?.total}`;
    const model = models.get(key) ?? { path, parts: [] };
    model.parts.push(file);
    models.set(key, model);
  }
  return [...models.values()].map(({ path, parts }) => {
    const stem = path.slice(path.lastIndexOf("/") + 1).toUpperCase();
    // Some repositories keep the label in the folder's name only: BF16/model-00001-of-00002.gguf.
    return { files: parts.sort(), stem, label: parseGGUFQuantLabel(stem) ?? parseGGUFQuantLabel(path) };
  });
}

function ofQuant(candidates: readonly Candidate[], quant: string): Candidate[] {
  const ends = ({ stem }: Candidate) =>
    stem.endsWith(quant) && /^[-.]?$/.test(stem.slice(0, -quant.length).slice(-1));
  const labelled = candidates.filter(({ label }) => label === quant);
  // Q4_0 is also the label of Q4_0_4_4 and of Q4_0-imat: the one that ends in what was asked is meant.
  const exact = labelled.filter(ends);
  if (exact.length > 0) return exact;
  return labelled.length > 0 ? labelled : candidates.filter(ends);
}

/** @throws ModelError when a part is missing: llama.cpp would refuse the model after minutes of download. */
function complete({ files }: Candidate, place: string): readonly string[] {
  const part = parseGgufShardFilename(files[0]!);
  if (!part) return files;
  const total = Number(part.total);
  const present = new Set(files.map((file) => Number(parseGgufShardFilename(file)!.shard)));
  const missing = Array.from({ length: total }, (_, i) => i + 1).filter((number) => !present.has(number));
  if (missing.length > 0)
    throw notFound(
      `${place} lacks part ${list(missing.map(String))} of ${total} of the split model ${part.prefix}; all parts are needed`,
    );
  return files;
}

function labels(candidates: readonly Candidate[]): string[] {
  return [...new Set(candidates.map(({ label, files }) => label ?? files[0]!))].sort();
}

function list(names: readonly string[]): string {
  const more = names.length > LISTED ? ` and ${names.length - LISTED} more` : "";
  return names.slice(0, LISTED).join(", ") + more;
}

function notFound(message: string): ModelError {
  return new ModelError("MODEL_NOT_FOUND", message);
}
