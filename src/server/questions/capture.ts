import { z } from "zod";
import { FINISH_REASONS } from "../../core/request.ts";
import type { OpenedCapture } from "../captures/open-captures.ts";
import { captureSummary, summarize } from "../captures/summary.ts";
import { json } from "../host/declaration.ts";
import { captureId } from "../host/schemas.ts";
import { question } from "./question.ts";

const count = z.int().nonnegative();

const captureDetails = captureSummary
  .extend({
    sampleLabels: z.array(z.string().nullable()).meta({ description: "by sample" }),
    promptTokens: z.array(count).meta({ description: "by sample" }),
    firstRows: z.array(count).meta({ description: "by sample, the index of its first row" }),
    outputs: z.array(
      z.object({ sample: count, text: z.string(), tokens: count, reason: z.enum(FINISH_REASONS) }),
    ),
    missingRows: z.array(z.object({ sample: count, from: count, to: count.nullable(), why: z.string() })),
    run: z
      .object({
        maxTokens: count,
        sampling: z.record(z.string(), z.unknown()),
        settings: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])),
      })
      .nullable()
      .meta({ description: "how the rows were asked for, where the folder says it" }),
  })
  .meta({ id: "Capture" });
export type CaptureDetails = z.infer<typeof captureDetails>;

export const capture = question({
  path: "/api/captures/{id}",
  tag: "captures",
  summary: "One capture: everything but its rows",
  asked: z.object({ id: captureId }),
  answer: json("the capture", () => captureDetails),
  find: ({ id }) => details(id),
});

/** All that is known of a capture but its rows. */
function details({ found, capture, manifest }: OpenedCapture): CaptureDetails {
  const firstRows = new Array<number>(capture.samples.length).fill(capture.rows.length);
  for (let row = capture.rows.length - 1; row >= 0; row--) firstRows[capture.rows.sample[row]!] = row;
  // A sample without rows begins where the next one does.
  for (let sample = firstRows.length - 2; sample >= 0; sample--)
    firstRows[sample] = Math.min(firstRows[sample]!, firstRows[sample + 1]!);
  return {
    ...summarize(found, manifest),
    sampleLabels: capture.samples.map(({ label }) => label),
    promptTokens: capture.samples.map(({ promptTokens }) => promptTokens),
    firstRows,
    outputs: capture.outputs.map(({ sample, text, tokens, reason }) => ({
      sample,
      text,
      tokens: tokens.length,
      reason,
    })),
    missingRows: [...capture.missing],
    run: manifest.run
      ? {
          maxTokens: manifest.run.maxTokens,
          sampling: { ...manifest.run.sampling },
          settings: manifest.run.settings,
        }
      : null,
  };
}
