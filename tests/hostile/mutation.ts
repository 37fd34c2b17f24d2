import { type Entry, type GgufDocument, isList, type List, TYPE, type Value } from "./gguf-document.ts";

/** What a mutation works with. */
export interface Workshop {
  readonly document: GgufDocument;
  readonly architecture: string;
  readonly layers: number;
  below(n: number): number;
  pick<T>(list: readonly T[]): T;
  /** A number that some code did not expect. */
  odd(): number;
}

export type Mutation = (workshop: Workshop) => void;

/** What a mutation would change is not in the file, as after another one. */
export class NothingThere extends Error {}

export const isNumber = ({ type, value }: Entry) => !isList(value) && type !== TYPE.string;

export const ofModel = ({ document, architecture }: Workshop) =>
  document.entries.filter(({ key }) => key.startsWith(`${architecture}.`));

export function makeList(entry: Entry, list: List): void {
  entry.type = TYPE.array;
  entry.value = list;
}

export function set(document: GgufDocument, key: string, type: number, value: Value): void {
  const entry = document.entries.find((each) => each.key === key);
  if (entry) Object.assign(entry, { type, value });
  else document.entries.push({ key, type, value });
}
