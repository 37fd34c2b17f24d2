import { chosenRows, hasStream, routedLayers } from "../../analysis/rows/chosen.ts";
import { rowEntropy, rowMargin } from "../../analysis/statistics/row-entropy.ts";
import { RequestError } from "../../core/errors.ts";
import { PHASES } from "../../core/rows.ts";
import { type Answer, jsonAnswer } from "../answer.ts";
import type { TokenRouting } from "../api/captures.ts";
import type { OpenedCapture } from "../open-captures.ts";

/**
 * One row with its routing in every layer.
 *
 * @throws RequestError `INVALID_ARGUMENT` for a row the capture has not.
 */
export function tokenAnswer({ capture, vocabulary }: OpenedCapture, row: number): Answer {
  const { rows, samples } = capture;
  if (row >= rows.length)
    throw new RequestError("INVALID_ARGUMENT", `no row ${row}; the capture has ${rows.length}`);
  const sample = samples[rows.sample[row]!]!;
  const position = rows.position[row]!;
  const tokenId = rows.tokenId[row]!;
  const answer: TokenRouting = {
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
  return jsonAnswer(answer);
}
