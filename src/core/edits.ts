import { RequestError } from "./errors.ts";
import { type Field, list, number, oneOf, optionsField, whole } from "./options.ts";
import { selectField } from "./plan-options.ts";
import type { RowSelection } from "./row-selection.ts";

/** Where an edit holds. */
interface EditPlace {
  /** 0-based layers; negative ones count from the last. Default: every MoE layer; a vector must say its layers. */
  readonly layers?: readonly number[];
  /** Rows that are edited. Default: all. `last` counts the rows of the prompt. */
  readonly select?: RowSelection;
}

/** The layer works as if it had no such experts: others take their places. */
export interface BanEdit extends EditPlace {
  readonly ban: readonly number[];
}

/** These experts are among the chosen, first and in this order, with the weights that the model's own rule gives them. */
export interface ForceEdit extends EditPlace {
  readonly force: readonly number[];
}

/** Numbers, by expert, that are added to the router's logits before anything is made of them. */
export interface BiasEdit extends EditPlace {
  readonly bias: Readonly<Record<number, number>>;
}

/** A vector that is added to the hidden state after each of the layers, `[hidden size]`. */
export interface AddEdit extends EditPlace {
  readonly add: Float32Array | readonly number[];
  /** What the vector is multiplied with. Default 1. */
  readonly scale?: number;
  readonly layers: readonly number[];
}

/** The experts of another capture are used, in the rows that it has: of the same tokens at the same positions. */
export interface ReplayEdit extends EditPlace {
  /** A capture with `expert_ids`, or the path of its folder. */
  readonly replay: RecordedRoutes | string;
  /** With the weights that were recorded, or with those that the model's rule gives. Default: recorded, where they are. */
  readonly weights?: "recorded" | "own";
  /** Which of its samples. Default: that of the prompt's own number. */
  readonly sample?: number;
}

/** Only so many of the chosen experts are used. For a whole run, in all of its rows. */
export interface TopKEdit extends Pick<EditPlace, "layers"> {
  readonly topK: number;
}

/** A change to what the model computes; see docs/edits.md. */
export type Edit = BanEdit | ForceEdit | BiasEdit | AddEdit | ReplayEdit | TopKEdit;

/** What of a capture a replay needs; a `Capture` has it. */
export interface RecordedRoutes {
  readonly rows: {
    readonly sample: Int32Array;
    readonly position: Int32Array;
    readonly tokenId: Int32Array;
  };
  readonly streams: readonly string[];
  readonly expertIds: RecordedLayers;
  readonly expertWeights: RecordedLayers;
}

/** A stream's values by layer, `[rows, topK]`. */
export interface RecordedLayers {
  keys(): Iterable<number>;
  get(layer: number): { readonly data: ArrayLike<number> } | undefined;
}

/** What an edit does, as its own field of the object says. */
const EDIT_KINDS = ["ban", "force", "bias", "add", "replay", "topK"] as const;
export type EditKind = (typeof EDIT_KINDS)[number];

/** @returns the field that says what an edit does. */
export function editKind(edit: Edit): EditKind {
  return EDIT_KINDS.find((kind) => kind in edit)!;
}

const finite = number("that is finite", () => true);
const experts = nonEmpty(list(whole(0)));
const layersField = nonEmpty(list(whole(Number.MIN_SAFE_INTEGER)));
const place = { layers: layersField, select: selectField };

const FIELDS: { readonly [K in EditKind]: Field<Edit> } = {
  ban: optionsField<BanEdit>({ ban: experts, ...place }),
  force: optionsField<ForceEdit>({ force: experts, ...place }),
  bias: optionsField<BiasEdit>({ bias: biasField, ...place }),
  add: optionsField<AddEdit>({ add: vectorField, scale: finite, ...place }, ["layers"]),
  replay: optionsField<ReplayEdit>({
    replay: replayField,
    weights: oneOf(["recorded", "own"]),
    sample: whole(0),
    ...place,
  }),
  topK: optionsField<TopKEdit>({ topK: whole(1), layers: layersField }),
};

/**
 * An edit that came from somewhere, read strictly: exactly one of {@link EDIT_KINDS}, and no unknown field.
 *
 * @throws RequestError `INVALID_ARGUMENT` naming the field.
 */
export const editField: Field<Edit> = (value, name) => {
  if (typeof value !== "object" || value === null || Array.isArray(value))
    throw refused(`${name} must be an object such as { ban: [7], layers: [3] }`);
  const kinds = EDIT_KINDS.filter((kind) => (value as Record<string, unknown>)[kind] !== undefined);
  // Without one, whatever is there is held against all names, so that a slip of the pen is told.
  if (kinds.length === 0) optionsField(ANY)(value, name);
  if (kinds.length !== 1)
    throw refused(
      `${name} must say one thing, one of ${EDIT_KINDS.join(", ")}; it says ${kinds.join(" and ") || "none"}`,
    );
  return FIELDS[kinds[0]!](value, name);
};

const ANY = Object.fromEntries(
  [...EDIT_KINDS, "layers", "select", "scale", "weights", "sample"].map((name) => [name, (v: unknown) => v]),
);

export const editsField: Field<readonly Edit[]> = list(editField);

function nonEmpty<T>(field: Field<readonly T[]>): Field<readonly T[]> {
  return (value, name) => {
    const items = field(value, name);
    if (items.length === 0) throw refused(`${name} is empty`);
    return items;
  };
}

function biasField(value: unknown, name: string): Readonly<Record<number, number>> {
  const entries = typeof value === "object" && value !== null ? Object.entries(value) : [];
  if (entries.length === 0 || Array.isArray(value))
    throw refused(`${name} must be an object of numbers by expert, such as { 5: 2.0 }`);
  return Object.fromEntries(
    entries.map(([expert, bias]) => {
      if (!/^\d+$/.test(expert)) throw refused(`${name}: "${expert}" is no expert (a whole number from 0)`);
      return [expert, finite(bias, `${name}.${expert}`)];
    }),
  );
}

function vectorField(value: unknown, name: string): Float32Array | readonly number[] {
  const numbers = value instanceof Float32Array ? value : list(finite)(value, name);
  if (numbers.length === 0) throw refused(`${name} is empty`);
  if (!numbers.every(Number.isFinite)) throw refused(`${name} has a value that is not finite`);
  return numbers;
}

function replayField(value: unknown, name: string): RecordedRoutes | string {
  if (typeof value === "string" && value !== "") return value;
  const routes = value as Partial<RecordedRoutes> | null;
  if (typeof routes === "object" && routes?.rows && Array.isArray(routes.streams))
    return routes as RecordedRoutes;
  throw refused(`${name} must be a capture, or the path of its folder`);
}

/** An edit as JSON, which `editField` reads again. A capture in memory has no such form: `replay` is `null` then. */
export type EditRecord = Readonly<Record<string, unknown>>;

/** @param folderOf where a replayed capture can be opened again, or `null`. */
export function editRecord(edit: Edit, folderOf: (routes: RecordedRoutes) => string | null): EditRecord {
  if ("add" in edit) return { ...edit, add: Array.from(edit.add) };
  if (!("replay" in edit)) return { ...edit };
  const { replay } = edit;
  return { ...edit, replay: typeof replay === "string" ? replay : folderOf(replay) };
}

const refused = (message: string) => new RequestError("INVALID_ARGUMENT", message);
