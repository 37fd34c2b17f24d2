import { type Fields, list, oneOf, optionsField, text, unchecked, whole } from "./options.ts";
import type { AttentionOptions, PlanOptions, RowSelection } from "./plan.ts";
import { PHASES } from "./rows.ts";

const selectFields: Fields<RowSelection> = {
  phase: oneOf(PHASES),
  positions: list(whole(0, 0x7fffffff)),
  last: whole(1),
};

const attentionFields: Fields<AttentionOptions> = { topKeys: whole(1) };

/** The options of a plan, read strictly; the streams and layers themselves the plan checks against the model. */
export const planFields: Fields<PlanOptions> = {
  streams: list(text),
  layers: list<number>(unchecked),
  select: optionsField(selectFields),
  attention: optionsField(attentionFields),
};
