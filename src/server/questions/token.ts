import { z } from "zod";
import { chosenRows, hasStream, routedLayers } from "../../analysis/rows/chosen.ts";
import { rowEntropy, rowMargin } from "../../analysis/statistics/row-entropy.ts";
import { RequestError } from "../../core/errors.ts";
import { PHASES } from "../../core/rows.ts";
import type { OpenedCapture } from "../captures/open-captures.ts";
import { json } from "../host/declaration.ts";
import { captureId, phase, whole } from "../host/schemas.ts";
import { question } from "./question.ts";

const count = z.int().nonnegative();

const tokenRouting = z
  .object({
    row: count,
    sample: count,
    position: count,
    tokenId: z.int(),
    text: z.string(),
    phase,
    label: z.string().nullable(),
    layers: z.array(
      z.object({
        layer: count,
        experts: z.array(count).meta({ description: "best first" }),
        weights: z.array(z.number()).nullable(),
        entropy: z.number().nullable().meta({ description: "nats; null without router logits" }),
        margin: z.number().nullable().meta({ description: "logits; null without router logits" }),
      }),
    ),
  })
  .meta({ id: "TokenRouting" });
export type TokenRouting = z.infer<typeof tokenRouting>;

export const token = question({
  path: "/api/captures/{id}/tokens/{row}",
  tag: "captures",
  summary: "One row: who served it in every layer",
  asked: z.object({ id: captureId, row: whole }),
  answer: json("the token", () => tokenRouting),
  find: ({ id, row }) => routingOf(id, row),
});

/**
 * One row with its routing in every layer.
 *
 * @throws RequestError `INVALID_ARGUMENT` for a row the capture has not.
 */
function routingOf({ capture, vocabulary }: OpenedCapture, row: number): TokenRouting {
  const { rows, samples } = capture;
  if (row >= rows.length)
    throw new RequestError("INVALID_ARGUMENT", `no row ${row}; the capture has ${rows.length}`);
  const sample = samples[rows.sample[row]!]!;
  const position = rows.position[row]!;
  const tokenId = rows.tokenId[row]!;
  return {
    row,
    sample: rows.sample[row]!,
    position,
    tokenId,
    text: vocabulary.get(tokenId)!,
    phase: position < sample.promptTokens ? PHASES[0] : PHASES[1],
    label: sample.label,
    layers: routedLayers(capture).map((layer) => {
      const { ids, weights } = chosenRows(capture, layer, row, row + 1);
      const logits = hasStream(capture, "router_logits", layer)
        ? capture.routerLogits.rows(layer, row, row + 1)
        : null;
      return {
        layer,
        experts: [...ids],
        weights: weights && [...weights],
        entropy: logits && rowEntropy(logits)[0]!,
        margin: logits && rowMargin(logits, ids)[0]!,
      };
    }),
  };
}
