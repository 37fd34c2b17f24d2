import { createReadStream } from "node:fs";
import { extname } from "node:path";
import { RequestError } from "../../core/errors.ts";
import { safeText } from "../../core/safe-text.ts";
import { schema } from "../../core/schema.ts";
import { parseJson } from "../../run/prompts/jinja/library/parse-json.ts";
import type { Prompt } from "../../run/prompts/prompt-object.ts";
import { readPromptObject } from "../../run/prompts/read-prompt.ts";
import { bytes } from "../../views/numbers.ts";
import { dataFormat } from "./data-formats.ts";

/** Prompts and their tokens are held in memory for the whole run; a larger corpus is better run in parts. */
const MAX_BYTES = 64e6;

const TOKEN_IDS = schema((z) => {
  const ids = z.array(z.int().min(0)).min(1);
  return z.union([ids, z.array(ids).min(1)]);
});

/**
 * Prompts of a file. A `.jsonl` has an object a line, a `.json` may be a list of objects or texts, anything else is text
 * with a prompt a line. `-` is stdin, whose kind its first character tells. Blank lines are skipped.
 *
 * @throws RequestError `INVALID_ARGUMENT` naming the file and line; for a file of another format, saying what to make of it.
 */
export async function readPrompts(path: string, stdin: AsyncIterable<Uint8Array>): Promise<Prompt[]> {
  const name = path === "-" ? "stdin" : path;
  const text = await readText(name, path === "-" ? stdin : createReadStream(path));
  const isJson = path === "-" ? text.trimStart().startsWith("{") : /\.(jsonl|ndjson|json)$/i.test(path);
  const prompts = isJson
    ? ((/\.json$/i.test(path) ? readDocument(text, name) : null) ?? readLines(text, name))
    : lines(text).map(([line]) => line);
  if (prompts.length === 0) throw invalid(`${name} holds no prompts`);
  return prompts;
}

/** The lines that say something, each with its number. */
const lines = (text: string): (readonly [line: string, number: number])[] =>
  text
    .split(/\r\n|\n|\r/)
    .map((line, i) => [line, i + 1] as const)
    .filter(([line]) => line.trim() !== "");

const readLines = (text: string, name: string): Prompt[] =>
  lines(text).map(([line, number]) => readValue(parse(line, `${name}:${number}`), `${name}:${number}`));

/** The prompts of a file that is one JSON document; `null` where it is a document a line. */
function readDocument(text: string, name: string): Prompt[] | null {
  let document: unknown;
  try {
    document = parseJson(text);
  } catch {
    return text.trimStart().startsWith("[") ? [readValue(parse(text, name), name)] : null;
  }
  if (!Array.isArray(document)) return [readValue(document, name)];
  if (document.some((item) => typeof item === "number" || typeof item?.[0] === "number"))
    throw invalid(`${name} holds token ids: give it as --token-ids`);
  return document.map((item, i) => (typeof item === "string" ? item : readValue(item, `${name}[${i}]`)));
}

const readValue = (value: unknown, where: string): Prompt => {
  const prompt = readPromptObject(value, where, "file");
  return { ...prompt, label: prompt.label ?? null };
};

/** Prompts as token ids: a JSON array of arrays, or one array. */
export async function readTokenIds(path: string): Promise<Prompt[]> {
  const text = await readText(path, createReadStream(path));
  const parsed = TOKEN_IDS().safeParse(parse(text, path));
  if (!parsed.success)
    throw invalid(
      `${path} must be an array of arrays of token ids (whole numbers from 0), as in [[1, 15, 7], [1, 9]]`,
    );
  const ids = parsed.data;
  return typeof ids[0] === "number" ? [ids as number[]] : (ids as number[][]);
}

function parse(text: string, where: string): unknown {
  try {
    return parseJson(text);
  } catch (cause) {
    throw invalid(`${where}: no valid JSON: ${safeText((cause as Error).message)}`, cause);
  }
}

/** The whole of a stream as text; stops reading at the limit, so a device or an endless pipe is no trap. */
async function readText(name: string, chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  const refuse = (start: Uint8Array) => {
    const format = dataFormat(extname(name), start);
    if (format !== null) throw invalid(`${name} is ${format}`);
  };
  try {
    for await (const chunk of chunks) {
      size += chunk.length;
      if (size > MAX_BYTES)
        throw invalid(
          `${name} is larger than ${bytes(MAX_BYTES)}, the most that is held in memory; split it`,
        );
      parts.push(chunk);
      if (parts.length === 1) refuse(chunk);
    }
  } catch (cause) {
    if (cause instanceof RequestError) throw cause;
    const { code, message } = cause as NodeJS.ErrnoException;
    throw invalid(code === "ENOENT" ? `there is no file ${name}` : `cannot read ${name}: ${message}`, cause);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(Buffer.concat(parts));
  } catch (cause) {
    throw invalid(`${name} is not UTF-8 text`, cause);
  }
}

const invalid = (message: string, cause?: unknown) =>
  new RequestError("INVALID_ARGUMENT", message, { cause });
