import type { EditKind } from "./edits.ts";
import { firstOfLast, type ResolvedSelection, type RowTest, rowTest } from "./row-selection.ts";

interface Planned {
  /** 0-based, ascending, each once. */
  readonly layers: readonly number[];
  readonly select: ResolvedSelection;
}

/** An edit as an engine gets it: resolved against the model, and plain data, so that it crosses threads. */
export type PlannedEdit =
  | (Planned & { readonly kind: "ban" | "force"; readonly experts: readonly number[] })
  | (Planned & {
      readonly kind: "bias";
      readonly experts: readonly number[];
      readonly values: readonly number[];
    })
  /** The vector is scaled already. */
  | (Planned & { readonly kind: "add"; readonly vector: Float32Array })
  | (Planned & { readonly kind: "replay"; readonly routes: PlannedRoutes })
  | (Planned & { readonly kind: "topK"; readonly topK: number });

/** The recorded routing of one sample. */
export interface PlannedRoutes {
  /** Ascending. */
  readonly positions: Int32Array;
  /** The token at each: where another one comes, nothing is replayed. */
  readonly tokenIds: Int32Array;
  /** By layer `[positions, topK]`. */
  readonly ids: ReadonlyMap<number, Uint16Array>;
  /** By layer `[positions, topK]`; `null`: the rule's own. */
  readonly weights: ReadonlyMap<number, Float32Array> | null;
}

/**
 * What of a model an engine can edit: by kind and layer `null` where it does so exactly, or why it does not. Kinds and
 * layers that are not there it cannot edit at all.
 */
export type EditSupport = ReadonlyMap<EditKind, ReadonlyMap<number, string | null>>;

/** Of selections that have been asked about, what tells their rows. */
const tests = new WeakMap<ResolvedSelection, RowTest | null>();

/**
 * Whether an edit holds for a token.
 *
 * @param tokens of its sample's prompt: `last` counts back from their end.
 */
export function covers(
  { select }: Pick<PlannedEdit, "select">,
  tokens: Int32Array,
  position: number,
  tokenId: number,
): boolean {
  let test = tests.get(select);
  if (test === undefined) {
    test = rowTest(select);
    tests.set(select, test);
  }
  if (test && !test(position, tokenId, tokens.length)) return false;
  if (select.last === null) return true;
  return position < tokens.length && position >= firstOfLast(select, test, { tokens, maxTokens: 0 });
}
