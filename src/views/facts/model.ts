import type { z } from "zod";
import { modelRecord } from "../../capture/folder/manifest.ts";
import type { ModelInfo } from "../../core/model-info.ts";
import { schema } from "../../core/schema.ts";

/** `ModelInfo`, as every fact has it; of a stored capture with the hash of the weights, where that is known. */
export const modelFacts = schema(
  (z) =>
    modelRecord().extend({
      sha256: z.string().nullable().optional(),
    }) as unknown as z.ZodType<ModelInfo>,
);

export const engineFacts = schema((z) => z.strictObject({ kind: z.string(), version: z.string() }));
