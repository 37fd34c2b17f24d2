import { FINISH_REASONS, type Finished } from "../../core/request.ts";
import { type Parsed, schema } from "../../core/schema.ts";

/** JSON has neither NaN (of a prompt's first token) nor infinities (of a token that cannot be). */
const logprob = schema((z) => z.union([z.number(), z.enum(["NaN", "-Infinity"])]));

/** The end of a sample as JSON: in the manifest, and in the shard that holds its last row. */
export const outputRecord = schema((z) =>
  z.object({
    sample: z.int().nonnegative(),
    tokens: z.array(z.int().nonnegative()),
    text: z.string(),
    reason: z.enum(FINISH_REASONS),
    logprobs: z.array(logprob()).optional(),
    promptLogprobs: z.array(logprob()).optional(),
  }),
);

export type OutputRecord = Parsed<typeof outputRecord>;

/** An embedding is no part of it: see `embeddings.ts`. */
export const recordOfOutput = ({
  sample,
  tokens,
  text,
  reason,
  logprobs,
  promptLogprobs,
}: Finished): OutputRecord => ({
  sample,
  tokens: [...tokens],
  text,
  reason,
  ...(logprobs && { logprobs: Array.from(logprobs, storedLogprob) }),
  ...(promptLogprobs && { promptLogprobs: Array.from(promptLogprobs, storedLogprob) }),
});

const storedLogprob = (value: number) =>
  Number.isFinite(value) ? shortest(value) : Number.isNaN(value) ? "NaN" : "-Infinity";

/** A float32 as the decimal of nine digits that names it: nine tell all of them apart. */
const shortest = (value: number) => Number(value.toPrecision(9));

/** One for all samples that generated nothing: a typed array takes some 200 bytes, and a corpus has many samples. */
const NO_TOKENS = new Int32Array(0);

const outputOfRecord = ({
  sample,
  tokens,
  text,
  reason,
  logprobs,
  promptLogprobs,
}: OutputRecord): Finished => ({
  sample,
  tokens: tokens.length > 0 ? Int32Array.from(tokens) : NO_TOKENS,
  text,
  reason,
  ...(logprobs && { logprobs: Float32Array.from(logprobs, Number) }),
  ...(promptLogprobs && { promptLogprobs: Float32Array.from(promptLogprobs, Number) }),
});

/** The ends that several lists name, each sample once and in order; the later list wins. */
export function mergeOutputs(...lists: readonly (readonly OutputRecord[])[]): Finished[] {
  const bySample = new Map<number, OutputRecord>();
  for (const list of lists) for (const output of list) bySample.set(output.sample, output);
  return [...bySample.values()].sort((a, b) => a.sample - b.sample).map(outputOfRecord);
}
