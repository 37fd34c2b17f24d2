import type { EditKind } from "./edits.ts";
import type { Plan } from "./plan.ts";

interface Planned {
  /** 0-based, ascending, each once. */
  readonly layers: readonly number[];
  readonly select: Plan["select"];
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

/**
 * Whether an edit holds for a token.
 *
 * @param promptTokens of its sample: `last` counts back from there.
 */
export function covers(
  { select: { phase, positions, last } }: Pick<PlannedEdit, "select">,
  promptTokens: number,
  position: number,
): boolean {
  const prompt = position < promptTokens;
  if (phase !== null && (phase === "prompt") !== prompt) return false;
  if (positions !== null && !positions.includes(position)) return false;
  if (last === null) return true;
  if (!prompt) return false;
  if (positions === null) return position >= promptTokens - last;
  const inPrompt = positions.filter((each) => each < promptTokens);
  return inPrompt.indexOf(position) >= inPrompt.length - last;
}
