import { RequestError } from "../core/errors.ts";
import { type Field, type Fields, list, oneOf, optionsField, unchecked, whole } from "../core/options.ts";
import type { RowCondition, RowSelection, RowWindow } from "../core/row-selection.ts";
import type { Phase } from "../core/rows.ts";

/**
 * EasySteer's `SelectSpec`: a row is kept when one of the including fields names it and none of the excluding ones does.
 * Prompt positions below 0 count from the end of the prompt; those of the generation are steps, 0 the first generated token.
 */
export interface SelectSpec {
  /** Every row of the prompt. */
  readonly prompt?: "all";
  /** Every row of the generation. */
  readonly generation?: "all";
  readonly promptTokens?: readonly number[];
  readonly promptPositions?: readonly number[];
  /** `[start, end)`; `null`: the end of the prompt. */
  readonly promptWindow?: RowWindow;
  readonly generationTokens?: readonly number[];
  readonly generationPositions?: readonly number[];
  /** `[start, end)`; `null`: the end of the generation. */
  readonly generationWindow?: RowWindow;
  readonly excludePromptTokens?: readonly number[];
  readonly excludePromptPositions?: readonly number[];
  readonly excludePromptWindow?: RowWindow;
  readonly excludeGenerationTokens?: readonly number[];
  readonly excludeGenerationPositions?: readonly number[];
  readonly excludeGenerationWindow?: RowWindow;
}

const LARGEST = 0x7fffffff;

/** As there, a list of nothing is a mistake: what selects nothing is left out. */
const filled =
  (least: number): Field<readonly number[]> =>
  (value, name) => {
    const values = list(whole(least, LARGEST))(value, name);
    if (values.length > 0) return values;
    throw new RequestError("INVALID_ARGUMENT", `${name} is empty; leave it out to select nothing with it`);
  };

const all = oneOf(["all"] as const);
// Bounds are checked where the conditions are.
const bounds = unchecked<RowWindow>;

const fields: Fields<SelectSpec> = {
  prompt: all,
  generation: all,
  promptTokens: filled(0),
  promptPositions: filled(-LARGEST),
  promptWindow: bounds,
  generationTokens: filled(0),
  generationPositions: filled(0),
  generationWindow: bounds,
  excludePromptTokens: filled(0),
  excludePromptPositions: filled(-LARGEST),
  excludePromptWindow: bounds,
  excludeGenerationTokens: filled(0),
  excludeGenerationPositions: filled(0),
  excludeGenerationWindow: bounds,
};

/** A `SelectSpec`, read strictly, as a selection of rows. @throws RequestError `INVALID_ARGUMENT`. */
export const selectSpec: Field<RowSelection> = (value, name) => {
  const spec = optionsField(fields)(value, name);
  const any = [
    ...(spec.prompt ? [{ phase: "prompt" as const }] : []),
    ...(spec.generation ? [{ phase: "generated" as const }] : []),
    ...promptConditions(spec.promptTokens, spec.promptPositions, spec.promptWindow),
    ...generationConditions(spec.generationTokens, spec.generationPositions, spec.generationWindow),
  ];
  const exclude = [
    ...promptConditions(spec.excludePromptTokens, spec.excludePromptPositions, spec.excludePromptWindow),
    ...generationConditions(
      spec.excludeGenerationTokens,
      spec.excludeGenerationPositions,
      spec.excludeGenerationWindow,
    ),
  ];
  if (any.length === 0)
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${name} selects nothing: set prompt: "all", generation: "all" or one of the other including fields`,
    );
  assertCovered(name, "prompt", any, exclude);
  assertCovered(name, "generated", any, exclude);
  return { any, ...(exclude.length > 0 && { exclude }) };
};

type Condition = RowCondition & { readonly phase: Phase };

function promptConditions(
  tokenIds: readonly number[] | undefined,
  positions: readonly number[] | undefined,
  window: RowWindow | undefined,
): Condition[] {
  const phase = "prompt";
  return [
    ...(tokenIds ? [{ phase, tokenIds } as const] : []),
    ...(positions ? [{ phase, positions } as const] : []),
    ...(window ? [{ phase, window } as const] : []),
  ];
}

function generationConditions(
  tokenIds: readonly number[] | undefined,
  steps: readonly number[] | undefined,
  stepWindow: RowWindow | undefined,
): Condition[] {
  const phase = "generated";
  return [
    ...(tokenIds ? [{ phase, tokenIds } as const] : []),
    ...(steps ? [{ phase, steps } as const] : []),
    ...(stepWindow ? [{ phase, stepWindow } as const] : []),
  ];
}

/** What excludes rows of a phase that is not selected was meant otherwise. */
function assertCovered(
  name: string,
  phase: Phase,
  any: readonly Condition[],
  exclude: readonly Condition[],
): void {
  const of = (list: readonly Condition[]) => list.some((condition) => condition.phase === phase);
  if (!of(exclude) || of(any)) return;
  const field = phase === "prompt" ? "prompt" : "generation";
  throw new RequestError(
    "INVALID_ARGUMENT",
    `${name} excludes rows of the ${field} and selects none of it: set ${field}: "all" or a field that selects some`,
  );
}
