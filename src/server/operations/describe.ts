import { type Manifest, readManifest, type StreamEntry } from "../../capture/folder/manifest.ts";
import { type StreamName, streamSpec } from "../../core/streams.ts";
import { type Answer, jsonAnswer } from "../answer.ts";
import type { CaptureDetails, CaptureList, CaptureSummary } from "../api/captures.ts";
import { assertContained, type FoundCapture } from "../capture-folders.ts";
import type { OpenedCapture } from "../open-captures.ts";

/** The facts of each capture, from its manifest alone. */
export async function describeAll(
  found: readonly FoundCapture[],
  known: Map<string, CaptureSummary>,
): Promise<Answer> {
  const list: CaptureList = { captures: [], broken: [] };
  for (const one of found) {
    const key = `${one.folder}\n${one.version}`;
    try {
      let summary = known.get(key);
      if (!summary) {
        await assertContained(one.folder, one.root);
        summary = summarize(one, await readManifest(one.folder));
        known.set(key, summary);
      }
      list.captures.push(summary);
    } catch (error) {
      list.broken.push({ folder: one.name, message: (error as Error).message });
    }
  }
  // Versions that are gone are not needed any more.
  const current = new Set(found.map(({ folder, version }) => `${folder}\n${version}`));
  for (const key of known.keys()) if (!current.has(key)) known.delete(key);
  return jsonAnswer(list);
}

/** All that is known of a capture but its rows. */
export function details({ found, capture, manifest }: OpenedCapture): Answer {
  const firstRows = new Array<number>(capture.samples.length).fill(capture.rows.length);
  for (let row = capture.rows.length - 1; row >= 0; row--) firstRows[capture.rows.sample[row]!] = row;
  // A sample without rows begins where the next one does.
  for (let sample = firstRows.length - 2; sample >= 0; sample--)
    firstRows[sample] = Math.min(firstRows[sample]!, firstRows[sample + 1]!);
  const answer: CaptureDetails = {
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
  return jsonAnswer(answer);
}

function summarize({ id, name, root, version }: FoundCapture, manifest: Manifest): CaptureSummary {
  const { engine, model, streams, samples } = manifest;
  const labels = new Set(samples.map(({ label }) => label));
  return {
    id,
    name,
    folder: name,
    origin: root.origin,
    createdAt: manifest.createdAt,
    version,
    engine: { kind: engine.name, version: engine.version },
    model,
    streams: (Object.entries(streams) as [StreamName, StreamEntry][]).map(
      ([stream, { axes, layers, widths }]) => ({
        name: stream,
        type: streamSpec(stream).type,
        axis: axes.slice(1).join(" × "),
        layers,
        widths: widths ?? layers.map(() => 0),
      }),
    ),
    rows: manifest.rows,
    samples: samples.length,
    labels: [...labels].filter((label) => label !== null),
    complete: manifest.complete,
    missing: manifest.missing.length,
  };
}
