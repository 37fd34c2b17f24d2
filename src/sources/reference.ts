import { fileURLToPath } from "node:url";
import { RequestError } from "../core/errors.ts";
import { isInnerPath } from "./inner-path.ts";
import { urlAdvice } from "./reference-advice.ts";

/** Which GGUF of a repository or folder: a file by its name, a quantisation, or neither (then see `pickModel`). */
export interface Choice {
  /** Path inside the repository or folder, with `/`. */
  readonly file?: string;
  /** A label such as `Q4_K_M`, in any case. */
  readonly quant?: string;
}

/** A repository of the Hugging Face Hub. */
export interface HubReference extends Choice {
  readonly kind: "hf";
  /** `org/name`. */
  readonly repo: string;
  /** A branch, a tag or a commit. */
  readonly revision: string;
}

/** A model that Ollama has pulled or created. */
export interface OllamaReference {
  readonly kind: "ollama";
  /** `registry.ollama.ai`, or the host that a model was pulled from (`hf.co`). */
  readonly host: string;
  /** `library` for Ollama's own. */
  readonly namespace: string;
  readonly name: string;
  readonly tag: string;
}

/** A model in LM Studio's folder. */
export interface LmStudioReference extends Choice {
  readonly kind: "lmstudio";
  /** `publisher/model`. */
  readonly model: string;
}

export type ModelReference =
  | { readonly kind: "path"; readonly path: string }
  | HubReference
  | OllamaReference
  | LmStudioReference;

/**
 * Parse a model reference.
 *
 * | reference | model |
 * |---|---|
 * | `model.gguf`, `./dir/model.gguf`, `~/model.gguf`, `C:\models\m.gguf` | a local file |
 * | `hf:org/repo` | the only GGUF of a repository, or its Q4_K_M |
 * | `hf:org/repo:Q4_K_M` | a quantisation; all parts of a split one |
 * | `hf:org/repo/dir/file.gguf` | a file |
 * | `hf:org/repo@revision:Q4_K_M`, `hf:org/repo@revision/file.gguf` | the same at a branch, tag or commit; write `/` in it as `%2F` |
 * | `ollama:qwen3:30b-a3b`, `ollama:qwen3` (tag `latest`) | what `ollama list` shows |
 * | `ollama:user/name:tag`, `ollama:hf.co/org/repo:Q4_K_M` | the same, from elsewhere |
 * | `lmstudio:publisher/model`, `…:Q4_K_M`, `…/file.gguf` | a model in LM Studio's folder |
 *
 * The prefix is read in any case. A local file whose name begins with a prefix is `./hf:name.gguf`.
 *
 * @throws RequestError `INVALID_ARGUMENT`, with the form that was expected.
 */
export function parseModelReference(reference: string): ModelReference {
  const [, scheme, body] = /^(hf|ollama|lmstudio):(.*)$/is.exec(reference) ?? [];
  switch (scheme?.toLowerCase()) {
    case "hf":
      return parseHub(reference, body!);
    case "ollama":
      return parseOllama(reference, body!);
    case "lmstudio":
      return parseLmStudio(reference, body!);
  }
  if (reference.trim() === "")
    throw new RequestError(
      "INVALID_ARGUMENT",
      "the model reference is empty; give a .gguf file or hf:org/repo",
    );
  if (/^file:/i.test(reference)) return { kind: "path", path: pathOfUrl(reference) };
  if (/^[a-z][a-z0-9+.-]+:\/\//i.test(reference)) throw urlError(reference);
  return { kind: "path", path: reference };
}

/** For a URL that is no server. */
export function urlError(reference: string): RequestError {
  const advice =
    urlAdvice(reference) ?? "give a local .gguf file, or a repository of the Hub as hf:org/repo/file.gguf";
  return new RequestError("INVALID_ARGUMENT", `${quote(reference)} is a URL; ${advice}`);
}

function pathOfUrl(reference: string): string {
  try {
    return fileURLToPath(reference);
  } catch (cause) {
    throw new RequestError("INVALID_ARGUMENT", `${quote(reference)} is no URL of a file here`, { cause });
  }
}

/** One segment of a repository's, publisher's or model's name; never `.` or `..`. */
const NAME = /^[a-z0-9_][a-z0-9_.-]*$/i;
const QUANT = NAME;
// What git allows in a branch or tag, without what would leave the folder `refs`.
const REVISION = /^(?!.*\.\.)[a-z0-9_][a-z0-9_.+/-]*$/i;

const HUB_FORM = "hf:org/repo, hf:org/repo:Q4_K_M, hf:org/repo/file.gguf or hf:org/repo@revision:Q4_K_M";

function parseHub(reference: string, body: string): HubReference {
  const [, repo, revision = "main", file, quant] =
    /^([^/@:]+\/[^/@:]+)(?:@([^/:]+))?(?:\/(.+)|:([^/:]+))?$/s.exec(body) ?? [];
  if (!repo?.split("/").every((part) => NAME.test(part))) throw malformed(reference, HUB_FORM);
  return {
    kind: "hf",
    repo,
    revision: decodeRevision(reference, revision),
    ...choice(reference, HUB_FORM, file, quant),
  };
}

function decodeRevision(reference: string, encoded: string): string {
  let revision = "";
  try {
    revision = decodeURIComponent(encoded);
  } catch {
    // Not percent-encoding: refused below.
  }
  if (!REVISION.test(revision)) throw malformed(reference, HUB_FORM);
  return revision;
}

const LM_STUDIO_FORM =
  "lmstudio:publisher/model, lmstudio:publisher/model:Q4_K_M or lmstudio:publisher/model/file.gguf";

function parseLmStudio(reference: string, body: string): LmStudioReference {
  const [, model, file, quant] = /^([^/:]+\/[^/:]+)(?:\/(.+)|:([^/:]+))?$/s.exec(body) ?? [];
  if (!model || !isInnerPath(model)) throw malformed(reference, LM_STUDIO_FORM);
  return { kind: "lmstudio", model, ...choice(reference, LM_STUDIO_FORM, file, quant) };
}

function choice(reference: string, form: string, file?: string, quant?: string): Choice {
  if (file !== undefined && !(isInnerPath(file) && /\.gguf$/i.test(file))) throw malformed(reference, form);
  if (quant !== undefined && !QUANT.test(quant)) throw malformed(reference, form);
  return { ...(file !== undefined && { file }), ...(quant !== undefined && { quant }) };
}

function parseOllama(reference: string, body: string): OllamaReference {
  // A host may have a port; its colon is followed by a slash, the tag's is not.
  const [, path, tag = "latest"] = /^(.+?)(?::([^/:]+))?$/s.exec(body) ?? [];
  const parts = path?.split("/") ?? [];
  const [name = "", namespace = "library", host = "registry.ollama.ai"] = parts.reverse();
  const valid =
    parts.length <= 3 &&
    [name, namespace, tag].every((part) => NAME.test(part)) &&
    /^[a-z0-9.:-]+$/i.test(host);
  if (!valid || host.startsWith("."))
    throw malformed(reference, "ollama:name, ollama:name:tag or ollama:namespace/name:tag");
  return { kind: "ollama", host, namespace, name, tag };
}

function malformed(reference: string, form: string): RequestError {
  return new RequestError("INVALID_ARGUMENT", `${quote(reference)} is not a model reference; write ${form}`);
}

/** For a message: what came in may hold control characters. */
function quote(text: string): string {
  return JSON.stringify(text);
}
