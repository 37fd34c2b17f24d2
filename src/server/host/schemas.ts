import { z } from "zod";
import { isStreamName, type StreamName } from "../../core/streams.ts";

/** Whole numbers as they stand in a URL. */
export const whole = z.coerce.number<number>().int().nonnegative();

/** Names a capture: made by the server, looked up in its list and never a path. */
export const captureId = z
  .string()
  .regex(/^[a-z0-9][a-z0-9_-]{0,79}$/, "is no id of a capture")
  .meta({ description: "id of a capture, as the list gives it" })
  .brand<"capture">();
export type CaptureId = z.output<typeof captureId>;

export const layer = whole.meta({ description: "0-based index of a decoder layer" });
export const expert = whole.meta({ description: "0-based index of a routed expert" });
export const streamName = z
  .string()
  .refine(isStreamName, "is no stream")
  .meta({ description: "name of a stream" }) as z.ZodType<StreamName, string>;
export const phase = z.enum(["prompt", "generated"]);

/** Which rows are looked at: all conditions must hold. */
export const rowFilter = z.object({
  label: z.string().optional().meta({ description: "samples of this label" }),
  sample: whole.optional(),
  phase: phase.optional(),
  layer: layer.optional(),
  expert: expert.optional().meta({ description: "rows that used this expert of `layer`" }),
});
export type RowFilter = z.infer<typeof rowFilter>;

/** What is said of every failure. */
export const problem = z
  .object({
    error: z.object({
      code: z.string().meta({ description: "to branch on, e.g. CAPTURE_INVALID" }),
      message: z.string().meta({ description: "what was wrong, where, and what to do" }),
      retryable: z.boolean().meta({ description: "whether the same request may succeed later" }),
    }),
  })
  .meta({ id: "Problem" });
export type Problem = z.infer<typeof problem>;

/** Something that takes a while is not done yet: ask again. */
export const pending = z
  .object({ done: z.int().nonnegative(), total: z.int().nonnegative() })
  .meta({ id: "AnalysisPending", description: "layers that are analysed, of so many" });
