import { RequestError } from "./errors.ts";
import { type Field, type Fields, list, oneOf, optionsField, text, unchecked, whole } from "./options.ts";
import { type AttentionOptions, type PlanOptions, REDUCTIONS } from "./plan.ts";
import type { RowCondition, RowSelection, RowWindow } from "./row-selection.ts";
import { PHASES } from "./rows.ts";

const LARGEST = 0x7fffffff;

/** Bounds in order are the selection's to check: it knows what they count from. */
const rowWindow =
  (least: number): Field<RowWindow> =>
  (value, name) => {
    const bounds = Array.isArray(value) ? value : [];
    const whole = (bound: unknown) => Number.isInteger(bound) && Math.abs(bound as number) <= LARGEST;
    const [start, end] = bounds as [number, number | null];
    if (
      bounds.length === 2 &&
      whole(start) &&
      start >= least &&
      (end === null || (whole(end) && end >= least))
    )
      return [start, end];
    throw new RequestError(
      "INVALID_ARGUMENT",
      `${name} must be [start, end] or [start, null], whole numbers${least === 0 ? " from 0" : ""}, got ${JSON.stringify(value)}`,
    );
  };

const conditionFields: Fields<RowCondition> = {
  phase: oneOf(PHASES),
  positions: list(whole(-LARGEST, LARGEST)),
  tokenIds: list(whole(0, LARGEST)),
  window: rowWindow(-LARGEST),
  steps: list(whole(0, LARGEST)),
  stepWindow: rowWindow(0),
};

const condition = optionsField(conditionFields);
const conditions = list(condition);

/** The fields of a selection of rows, read strictly. */
export const selectField: Field<RowSelection> = optionsField<RowSelection>({
  ...conditionFields,
  any: conditions,
  exclude: (value, name) => (Array.isArray(value) ? conditions(value, name) : condition(value, name)),
  last: whole(1),
});

const attentionFields: Fields<AttentionOptions> = { topKeys: whole(1) };

/** The options of a plan, read strictly; the streams and layers themselves the plan checks against the model. */
export const planFields: Fields<PlanOptions> = {
  streams: list(text),
  layers: list<number>(unchecked),
  select: selectField,
  reduce: oneOf(REDUCTIONS),
  maxRows: whole(1),
  attention: optionsField(attentionFields),
};
