import { type ExpertUsage, expertUsage, type UsageCounts } from "../analysis/expert-usage.ts";
import { loadBalance } from "../analysis/statistics/balance.ts";
import type { Capture } from "../capture/capture.ts";
import { axesOf, streamSpec } from "../capture/streams.ts";
import { hasRouting } from "../views/terminal/sample-strips.ts";

/**
 * The facts of a capture as a plain object, for `--json`: what the views show, with every layer and token. The values
 * of the streams are not in it; `--out` writes those.
 */
export function captureReport(capture: Capture) {
  const usage = hasRouting(capture) ? expertUsage(capture) : null;
  const outputs = new Map(capture.outputs.map((output) => [output.sample, output]));
  return {
    format: "moescope.report/1",
    model: capture.model,
    engine: capture.engine,
    rows: capture.rows.length,
    streams: capture.streams.map((name) => streamReport(capture, name)),
    samples: capture.samples.map((_, index) => sampleReport(capture, index, outputs.get(index))),
    usage: usage && usageReport(usage),
  };
}

function streamReport(capture: Capture, name: Capture["streams"][number]) {
  const tensors = capture.stream(name);
  const layers = [...tensors.keys()];
  const sizes = layers.length > 0 ? tensors.rowDims(layers[0]!) : axesOf(name, 1).map(() => 0);
  return {
    name,
    type: streamSpec(name).type,
    axes: ["rows", ...axesOf(name, sizes.length)],
    dims: [capture.rows.length, ...sizes],
    layers,
  };
}

function sampleReport(capture: Capture, index: number, output: Capture["outputs"][number] | undefined) {
  const { rows } = capture.sample(index);
  return {
    sample: index,
    ...capture.samples[index]!,
    tokens: {
      position: [...rows.position],
      token_id: [...rows.tokenId],
      text: rows.text,
      phase: rows.phase,
    },
    output: output ? { text: output.text, tokens: [...output.tokens], reason: output.reason } : null,
  };
}

function usageReport({ experts, topK, fairShare, layers }: ExpertUsage) {
  return {
    experts,
    topK,
    fairShare,
    layers: [...layers].map(([layer, { byLabel, ...all }]) => ({
      layer,
      ...countsReport(all),
      byLabel: [...byLabel].map(([label, of]) => ({ label, ...countsReport(of) })),
    })),
  };
}

/** JSON has no NaN: a balance that is not defined (no rows) becomes `null` as `JSON.stringify` writes it. */
function countsReport({ rows, counts }: UsageCounts) {
  return { rows, counts: [...counts], loadBalance: loadBalance(counts) };
}
