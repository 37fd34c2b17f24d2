import { z } from "zod";
import { RequestError } from "../../core/errors.ts";
import { streamSpec } from "../../core/streams.ts";
import type { Values } from "../captures/answer.ts";
import { values } from "../host/declaration.ts";
import { captureId, layer, streamName, whole } from "../host/schemas.ts";
import { type Opened, question } from "./question.ts";

const asked = z.object({
  id: captureId,
  stream: streamName,
  layer,
  from: whole.default(0),
  to: whole.optional().meta({ description: "default: the last row" }),
});

export const stream = question({
  path: "/api/captures/{id}/streams/{stream}/{layer}",
  tag: "captures",
  summary: "Values of a stream in a layer, [rows, ...]",
  asked,
  answer: values("the values", { partial: true }),
  find: (which) => streamRows(which),
});

/** @throws RequestError `UNKNOWN_STREAM`, `UNKNOWN_LAYER`. */
function streamRows({ id: { capture }, stream, layer, ...part }: Opened<z.output<typeof asked>>): Values {
  const tensors = capture.stream(stream);
  if (!tensors.has(layer))
    throw new RequestError(
      "UNKNOWN_LAYER",
      `${stream} was captured in the layers ${[...tensors.keys()].join(", ")}`,
    );
  const from = Math.min(part.from, capture.rows.length);
  const to = Math.max(from, Math.min(part.to ?? capture.rows.length, capture.rows.length));
  return {
    dtype: streamSpec(stream).type,
    shape: [to - from, ...tensors.rowDims(layer)],
    read: (first, end) => tensors.rows(layer, from + first, from + end).data,
  };
}
