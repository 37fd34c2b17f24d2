import { createReadStream } from "node:fs";
import { RequestError } from "../errors.ts";
import type { Prompt } from "../prompt.ts";
import { schema } from "../schema.ts";
import { bytes } from "../views/numbers.ts";
import { safeText } from "../views/safe-text.ts";

/** Prompts and their tokens are held in memory for the whole run; a larger corpus is better run in parts. */
const MAX_BYTES = 64e6;

const LINE = schema((z) =>
  z.object({
    prompt: z.string().optional(),
    token_ids: z.array(z.int().min(0)).optional(),
    messages: z
      .array(z.object({ role: z.string(), content: z.string() }))
      .min(1)
      .optional(),
    label: z.string().nullable().optional(),
  }),
);
const TOKEN_IDS = schema((z) => {
  const ids = z.array(z.int().min(0)).min(1);
  return z.union([ids, z.array(ids).min(1)]);
});

/**
 * Prompts of a file: a `.jsonl` has an object a line, anything else is text with a prompt a line. `-` is stdin, whose
 * kind its first character tells. Blank lines are skipped.
 *
 * @throws RequestError `INVALID_ARGUMENT` naming the file and line.
 */
export async function readPrompts(path: string, stdin: AsyncIterable<Uint8Array>): Promise<Prompt[]> {
  const name = path === "-" ? "stdin" : path;
  const text = await readText(name, path === "-" ? stdin : createReadStream(path));
  const json = path === "-" ? text.trimStart().startsWith("{") : /\.(jsonl|ndjson|json)$/i.test(path);
  const prompts = text.split(/\r?\n/).flatMap((line, i) => {
    if (line.trim() === "") return [];
    return [json ? parseLine(line, `${name}:${i + 1}`) : line];
  });
  if (prompts.length === 0) throw invalid(`${name} holds no prompts`);
  return prompts;
}

/** Prompts as token ids: a JSON array of arrays, or one array. */
export async function readTokenIds(path: string): Promise<Prompt[]> {
  const value = parseJson(await readText(path, createReadStream(path)), path);
  const parsed = TOKEN_IDS().safeParse(value);
  if (!parsed.success)
    throw invalid(
      `${path} must be an array of arrays of token ids (whole numbers from 0), as in [[1, 15, 7], [1, 9]]`,
    );
  const ids = parsed.data;
  return typeof ids[0] === "number" ? [ids as number[]] : (ids as number[][]);
}

function parseLine(line: string, where: string): Prompt {
  const parsed = LINE().safeParse(parseJson(line, where));
  if (!parsed.success) {
    const { path, message } = parsed.error.issues[0]!;
    throw invalid(`${where}: ${path.length > 0 ? `${path.join(".")}: ` : ""}${message}`);
  }
  const { prompt, token_ids: tokenIds, messages, label = null } = parsed.data;
  const forms = [prompt, tokenIds, messages].filter((form) => form !== undefined).length;
  if (forms !== 1)
    throw invalid(`${where}: needs ${forms === 0 ? "one" : "only one"} of prompt, token_ids and messages`);
  if (prompt !== undefined) return { prompt, label };
  return tokenIds ? { tokenIds, label } : { messages: messages!, label };
}

function parseJson(text: string, where: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw invalid(`${where}: no valid JSON: ${safeText((cause as Error).message)}`, cause);
  }
}

/** The whole of a stream as text; stops reading at the limit, so a device or an endless pipe is no trap. */
async function readText(name: string, chunks: AsyncIterable<Uint8Array>): Promise<string> {
  const parts: Uint8Array[] = [];
  let size = 0;
  try {
    for await (const chunk of chunks) {
      size += chunk.length;
      if (size > MAX_BYTES)
        throw invalid(
          `${name} is larger than ${bytes(MAX_BYTES)}, the most that is held in memory; split it`,
        );
      parts.push(chunk);
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
