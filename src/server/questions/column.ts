import { z } from "zod";
import { type Values, valuesOf } from "../captures/answer.ts";
import type { OpenedCapture } from "../captures/open-captures.ts";
import { values } from "../host/declaration.ts";
import { captureId } from "../host/schemas.ts";
import { question } from "./question.ts";

const ROW_COLUMNS = ["sample", "position", "token_id", "phase"] as const;

export const column = question({
  path: "/api/captures/{id}/rows/{column}",
  tag: "captures",
  summary: "A column of all rows: int32, of `phase` uint8 (0 prompt, 1 generated)",
  asked: z.object({ id: captureId, column: z.enum(ROW_COLUMNS) }),
  answer: values("the column", { partial: true }),
  find: ({ id, column }) => columnOf(id, column),
});

/** One column of all rows. */
function columnOf({ capture }: OpenedCapture, column: (typeof ROW_COLUMNS)[number]): Values {
  const { rows, samples } = capture;
  const shape = [rows.length];
  if (column === "sample") return valuesOf(rows.sample, shape);
  if (column === "position") return valuesOf(rows.position, shape);
  if (column === "token_id") return valuesOf(rows.tokenId, shape);
  const phase = Uint8Array.from(rows.position, (position, row) =>
    position < samples[rows.sample[row]!]!.promptTokens ? 0 : 1,
  );
  return valuesOf(phase, shape);
}
