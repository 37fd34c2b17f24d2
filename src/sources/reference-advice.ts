import { existsSync } from "node:fs";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { safeText } from "../core/safe-text.ts";

const HUB_HOSTS = /^(?:www\.)?(?:huggingface\.co|hf\.co)$/i;

/** What a URL of a model stands for, or `null` for a URL that may be a server. */
export function urlAdvice(reference: string): string | null {
  if (!URL.canParse(reference)) return null;
  const { hostname, pathname } = new URL(reference);
  const parts = pathname.split("/").filter((part) => part !== "");
  if (HUB_HOSTS.test(hostname)) {
    const [org, repo, view, revision, ...file] = parts;
    if (org === undefined || repo === undefined) return "write hf:org/repo for a repository of the Hub";
    const at = revision === undefined || revision === "main" ? "" : `@${revision}`;
    const named = ["blob", "resolve", "raw"].includes(view ?? "") && file.length > 0;
    const form = `hf:${org}/${repo}${at}${named ? `/${decoded(file.join("/"))}` : ""}`;
    return /\.gguf$/i.test(form) || !named
      ? `write ${form}${named ? "" : `, or ${org}/${repo} with --engine vllm for a checkpoint`}`
      : `it is no .gguf file; write ${org}/${repo} with --engine vllm for a checkpoint`;
  }
  if (/(?:^|\.)ollama\.(?:com|ai)$/i.test(hostname)) {
    const name = parts.filter((part) => part !== "library").join("/");
    return `pull it with Ollama and write ollama:${name}`;
  }
  if (/\.(?:gguf|safetensors|bin|pt|pth)$/i.test(pathname)) return "download the file and give its path";
  return null;
}

function decoded(path: string): string {
  try {
    return decodeURIComponent(path);
  } catch {
    return path;
  }
}

/** What a path that leads to no file was probably meant to be, or `null`. */
export function missingFileAdvice(path: string): string | null {
  const [, repo, quant] = /^([\w-][\w.-]*\/[\w-][\w.-]*)(?::([\w.-]+))?$/.exec(path) ?? [];
  if (repo !== undefined && !/\.gguf$/i.test(repo))
    return (
      `${path} looks like a repository of the Hugging Face Hub: write hf:${path} for its GGUF file` +
      (quant === undefined ? `, or ${path} with --engine vllm (engine: "vllm") for a checkpoint` : "")
    );
  if (/^[\w-][\w.-]*\/[\w-][\w.-]*\/.+\.gguf$/i.test(path) && !existsSync(path.split("/")[0]!))
    return `if it is a file of the Hugging Face Hub, write hf:${path}`;
  if (/^[\w-][\w.-]*:[\w.-]+$/.test(path) && !/^[a-z]:/i.test(path))
    return `${path} looks like a model of Ollama: write ollama:${path}`;
  if (/^~[^/\\]/.test(path)) return "~ stands for a home folder in a shell only: give the whole path";
  return null;
}

/** What a folder holds, in place of the file that was asked for. */
export async function folderAdvice(folder: string): Promise<string> {
  const names = await readdir(folder).catch(() => [] as string[]);
  const ggufs = names.filter((name) => /\.gguf$/i.test(name)).sort();
  if (ggufs.length > 0)
    return `it is a folder; give a file of it: ${ggufs
      .slice(0, 5)
      .map((name) => safeText(join(folder, name)))
      .join(", ")}${ggufs.length > 5 ? ", ..." : ""}`;
  if (names.some((name) => /\.safetensors$/i.test(name) || name === "config.json"))
    return (
      'it is a checkpoint in the format of Hugging Face: run it with --engine vllm (engine: "vllm"), or convert it with ' +
      "llama.cpp's convert_hf_to_gguf.py"
    );
  return "it is a folder without a .gguf file";
}
