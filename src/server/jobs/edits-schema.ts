import { z } from "zod";
import { type Edit, editsField } from "../../core/edits.ts";
import { MoescopeError } from "../../core/errors.ts";

/** More are no experiment that a request describes. */
const MAX_EDITS = 1000;

/** Edits as docs/edits.md has them, but replays: those name folders of the machine that serves. */
export const edits = z
  .custom<readonly Edit[]>()
  .superRefine((given, context) => {
    const fault = faultOf(given);
    if (fault !== null) context.addIssue(fault);
  })
  .nullish()
  .meta({
    type: "array",
    items: { type: "object" },
    description: "changes to what the model computes for this request, e.g. [{ ban: [7], layers: [3] }]",
  });

function faultOf(given: unknown): string | null {
  if (given === null || given === undefined) return null;
  if (!Array.isArray(given)) return "must be a list of edits";
  if (given.length > MAX_EDITS) return `has ${given.length} edits, the limit is ${MAX_EDITS}`;
  try {
    return editsField(given, "edits").some((edit) => "replay" in edit)
      ? "has a replay: a request cannot name folders of the server"
      : null;
  } catch (error) {
    if (error instanceof MoescopeError) return error.message;
    throw error;
  }
}
