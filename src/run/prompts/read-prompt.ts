import { editsField } from "../../core/edits.ts";
import { RequestError } from "../../core/errors.ts";
import { nearMiss } from "../../core/near-miss.ts";
import { selectField } from "../../core/plan-options.ts";
import { readMessages } from "./message.ts";

import type { MultiModalData, PromptObject } from "./prompt-object.ts";

/** Who wrote a prompt: a program against the library, or a file, where names are Python's. */
export type Spelling = "library" | "file";

type FieldName = keyof PromptObject;

interface Field {
  /** Its name in files. */
  readonly file: string;
  /** What it goes with; `null`: everything. */
  readonly with: readonly FieldName[] | null;
  read(value: unknown, where: string): unknown;
}

const TEXT = ["prompt"] as const;
const CHAT = ["messages"] as const;
const FORMS = ["prompt", "tokenIds", "messages"] as const;

/** The fields of a prompt object: the only place that knows them. */
const FIELDS: Readonly<Record<FieldName, Field>> = {
  prompt: { file: "prompt", with: null, read: readText },
  tokenIds: { file: "token_ids", with: null, read: readTokenIds },
  messages: { file: "messages", with: null, read: readMessages },
  label: { file: "label", with: null, read: readLabel },
  edits: { file: "edits", with: null, read: editsField },
  multiModalData: { file: "multi_modal_data", with: TEXT, read: readImages },
  select: { file: "select", with: null, read: (value, where) => selectField(value, where) },
  addSpecial: { file: "add_special", with: [...TEXT, ...CHAT], read: readFlag },
  tools: { file: "tools", with: CHAT, read: readObjects },
  documents: { file: "documents", with: CHAT, read: readObjects },
  chatTemplateKwargs: { file: "chat_template_kwargs", with: CHAT, read: readVariables },
  addGenerationPrompt: { file: "add_generation_prompt", with: CHAT, read: readFlag },
  continueFinalMessage: { file: "continue_final_message", with: CHAT, read: readContinuation },
};

const NAMES = Object.keys(FIELDS) as FieldName[];

/**
 * A prompt object that came from somewhere, read strictly: every field is known and of its kind, or it is an error that
 * says what was probably meant. A field that is `null` counts as left out.
 *
 * @throws RequestError `INVALID_ARGUMENT`, beginning with `where`.
 */
export function readPromptObject(value: unknown, where: string, spelling: Spelling): PromptObject {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw invalid(`${where}: expected object with one of ${formNames(spelling)}, got ${kindOf(value)}`);
  const read: Partial<Record<FieldName, unknown>> = {};
  const unknown: string[] = [];
  for (const [key, given] of Object.entries(value)) {
    const name = NAMES.find((each) => key === each || (spelling === "file" && key === FIELDS[each].file));
    if (name === undefined) unknown.push(key);
    else if (given === undefined || given === null) continue;
    else if (read[name] !== undefined) throw invalid(`${where}: ${nameOf(name, spelling)} is there twice`);
    else read[name] = FIELDS[name].read(given, `${where}: ${key}`);
  }
  if (unknown.length > 0) throw invalid(`${where}: ${unknownFields(unknown, value, spelling)}`);
  const forms = FORMS.filter((name) => read[name] !== undefined);
  if (forms.length !== 1)
    throw invalid(`${where}: needs ${forms.length === 0 ? "one" : "only one"} of ${formNames(spelling)}`);
  for (const name of Object.keys(read) as FieldName[])
    if (FIELDS[name].with !== null && !FIELDS[name].with.includes(forms[0]!))
      throw invalid(`${where}: ${goesWith(name, spelling)}`);
  if (read.addGenerationPrompt === true && read.continueFinalMessage)
    throw invalid(
      `${where}: ${nameOf("addGenerationPrompt", spelling)} begins a new message and ` +
        `${nameOf("continueFinalMessage", spelling)} goes on with the last one; give one of them`,
    );
  return read as PromptObject;
}

const nameOf = (name: FieldName, spelling: Spelling) => (spelling === "file" ? FIELDS[name].file : name);

function formNames(spelling: Spelling): string {
  const names = FORMS.map((name) => nameOf(name, spelling));
  return `${names[0]}, ${names[1]} and ${names[2]}`;
}

function goesWith(name: FieldName, spelling: Spelling): string {
  if (name === "multiModalData")
    return `${nameOf(name, spelling)} goes with a prompt of text; in messages an image is a part {"type": "image_url"}`;
  const forms = FIELDS[name].with!.map((form) => nameOf(form, spelling));
  return `${nameOf(name, spelling)} goes with ${forms.join(" or ")}${name === "addSpecial" ? "; token ids are taken as they are" : ""}`;
}

/** Names of others' formats, with what they are here. */
const ELSEWHERE: Readonly<Record<string, string>> = {
  text: "prompt",
  content: "prompt",
  input: "prompt",
  inputs: "prompt",
  instruction: "prompt",
  question: "prompt",
  query: "prompt",
  sentence: "prompt",
  chat: "messages",
  dialog: "messages",
  dialogue: "messages",
  conversation: "messages",
  tokens: "tokenIds",
  ids: "tokenIds",
  input_ids: "tokenIds",
  prompt_token_ids: "tokenIds",
  category: "label",
  class: "label",
  domain: "label",
  tag: "label",
  task: "label",
  topic: "label",
  images: "multiModalData",
  image: "multiModalData",
  add_special_tokens: "addSpecial",
  functions: "tools",
};
/** Variables of chat templates that people write beside the messages. */
const VARIABLES = new Set([
  "enable_thinking",
  "thinking",
  "reasoning_effort",
  "preserve_thinking",
  "date_string",
]);

function unknownFields(unknown: readonly string[], value: object, spelling: Spelling): string {
  const hints = unknown.map((key) => hint(key, value, spelling));
  const list = NAMES.map((name) => nameOf(name, spelling)).join(", ");
  return `unknown field ${hints.join("; unknown field ")}. The fields of a prompt are ${list}`;
}

function hint(key: string, value: object, spelling: Spelling): string {
  const shown = quote(key);
  if (key === "conversations")
    return `${shown} (ShareGPT): rename it to messages, its from to role ("human" is "user", "gpt" is "assistant") and its value to content`;
  if ("from" in value && "value" in value && (key === "from" || key === "value"))
    return `${shown} (a message of ShareGPT): rename it to ${key === "from" ? "role" : "content"}, and put it into messages`;
  if (VARIABLES.has(key))
    return `${shown}: put it into ${nameOf("chatTemplateKwargs", spelling)}, as {${shown}: ${written((value as Record<string, unknown>)[key])}}`;
  if (key === "body" && "custom_id" in value) return `${shown}: of a batch file take each body's messages`;
  const known = Object.hasOwn(ELSEWHERE, key) ? (ELSEWHERE[key] as FieldName) : undefined;
  const name = known ?? nearestField(key);
  // Not two fields under one name.
  const isTaken =
    name !== undefined && (name in value || (spelling === "file" && FIELDS[name].file in value));
  if (name !== undefined && !isTaken) return `${shown}: rename it to ${nameOf(name, spelling)}`;
  return `${shown}: remove it, or keep what it says in label`;
}

/** A value as it may stand in a message. */
const written = (value: unknown): string =>
  typeof value === "string" ? quote(value) : typeof value === "object" ? "..." : String(value);

function nearestField(key: string): FieldName | undefined {
  const names = NAMES.flatMap((name) => [name, FIELDS[name].file]);
  const found = nearMiss(key, names);
  return NAMES.find((name) => name === found || FIELDS[name].file === found);
}

function readText(value: unknown, where: string): string {
  if (typeof value === "string") return value;
  const isChat = Array.isArray(value) && typeof value[0] === "object";
  throw invalid(
    `${where}: Invalid input: expected string, received ${kindOf(value)}${isChat ? "; messages go under messages" : ""}`,
  );
}

function readLabel(value: unknown, where: string): string {
  if (typeof value === "string") return value;
  throw invalid(`${where}: expected string, received ${kindOf(value)}; write it in quotes`);
}

/** @throws RequestError naming the first that is no token id. */
export function readTokenIds(value: unknown, where: string): readonly number[] | Int32Array {
  if (value instanceof Int32Array) return value;
  if (!Array.isArray(value)) throw invalid(`${where}: expected list of token ids, received ${kindOf(value)}`);
  const bad = value.findIndex((id) => !Number.isInteger(id) || id < 0 || id > 0x7fffffff);
  if (bad >= 0)
    throw invalid(
      `${where}.${bad}: ${kindOf(value[bad]) === "number" ? value[bad] : `a ${kindOf(value[bad])}`} is no token id (a whole number from 0)`,
    );
  return value;
}

function readFlag(value: unknown, where: string): boolean {
  if (typeof value === "boolean") return value;
  throw invalid(`${where}: expected true or false, received ${kindOf(value)}`);
}

/** @returns the field of the last message; `true` means its content, as in transformers. */
function readContinuation(value: unknown, where: string): boolean | string {
  return typeof value === "string" && value !== "" ? value : readFlag(value, where);
}

function readObjects(value: unknown, where: string): readonly object[] {
  if (Array.isArray(value) && value.every((each) => kindOf(each) === "object")) return value;
  throw invalid(`${where}: expected list of objects`);
}

/** What a chat's own fields say cannot be said by a variable as well. */
const OWN: Readonly<Record<string, FieldName>> = {
  messages: "messages",
  tools: "tools",
  documents: "documents",
  add_generation_prompt: "addGenerationPrompt",
  continue_final_message: "continueFinalMessage",
};

function readVariables(value: unknown, where: string): Readonly<Record<string, unknown>> {
  if (kindOf(value) !== "object") throw invalid(`${where}: expected object, received ${kindOf(value)}`);
  for (const name of Object.keys(value as object)) {
    if (Object.hasOwn(OWN, name)) throw invalid(`${where}: ${name} is a field of the prompt, not a variable`);
    if (name === "chat_template" || name === "tokenize")
      throw invalid(`${where}: ${name} cannot be set: a chat is rendered with the model's own template`);
  }
  return value as Readonly<Record<string, unknown>>;
}

function readImages(value: unknown, where: string): MultiModalData {
  const { image, ...others } = (kindOf(value) === "object" ? value : {}) as MultiModalData;
  const unknown = Object.keys(others);
  const images = image === undefined ? [] : Array.isArray(image) ? image : [image];
  if (
    kindOf(value) !== "object" ||
    unknown.length > 0 ||
    !images.every((each) => typeof each === "string" && each !== "")
  )
    throw invalid(
      `${where} takes image: a path, an http(s) or data URL, or a list of them` +
        (unknown.length > 0 ? `; it has ${unknown.join(", ")}` : ""),
    );
  return value as MultiModalData;
}

/** For a message: what came in may hold control characters. */
const quote = (text: string) =>
  JSON.stringify(text).replace(
    /\p{Cc}/gu,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`,
  );

/** As JSON calls it. */
function kindOf(value: unknown): string {
  if (value === null || value === undefined) return "null";
  if (Array.isArray(value) || ArrayBuffer.isView(value)) return "array";
  return value instanceof Number || typeof value === "bigint" ? "number" : typeof value;
}

const invalid = (message: string) => new RequestError("INVALID_ARGUMENT", message);
