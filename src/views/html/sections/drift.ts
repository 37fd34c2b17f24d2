import type { DriftGroup } from "../../../analysis/measures/tallies/drift.ts";
import { largest } from "../../../core/extremes.ts";
import { safeText } from "../../../core/safe-text.ts";
import { viridis } from "../../colours.ts";
import { ALPHA, BEYOND_CHANCE, tooFewToFlip } from "../../evidence.ts";
import type { CaptureAnalysis, LayerAnalysis } from "../../facts/analysis.ts";
import { count, information } from "../../numbers.ts";
import { heatMap, legend } from "../parts/heat-map.ts";
import { type Html, html } from "../parts/html.ts";

/** A part of the texts: a range of positions, or what was generated. */
interface Part {
  readonly name: string;
  readonly of: (layer: LayerAnalysis) => DriftGroup | undefined;
}

/** Whether usage changes along the texts, and from prompt to what was generated. */
export function drift({ layers, settings }: CaptureAnalysis): Html {
  const parts: Part[] = [
    ...groupNames(layers.map(({ positions }) => positions)).map((name) => ({
      name: `position ${name}`,
      of: ({ positions }: LayerAnalysis) => positions?.groups.find((group) => group.name === name),
    })),
    // Of two groups each is as far from the other.
    ...groupNames(layers.map(({ phases }) => phases))
      .slice(1)
      .map((name) => ({
        name,
        of: ({ phases }: LayerAnalysis) => phases?.groups.find((group) => group.name === name),
      })),
  ];
  if (parts.length === 0) return html``;
  const beyond = (row: number, column: number) => {
    const found = parts[row]!.of(layers[column]!);
    return found ? Math.max(0, found.divergence - found.chanceDivergence) : null;
  };
  const most = Math.max(
    1e-3,
    largest(parts.flatMap((_, row) => layers.map((_, column) => beyond(row, column) ?? 0))),
  );
  const tested = layers.find((layer) => layer.positions ?? layer.phases);
  const few = tooFewToFlip((tested?.positions ?? tested?.phases)?.leastQ ?? 0);
  return html`<h2 id="drift">Drift along the text</h2>
<p>How far the use of experts in a part of the texts is from their use in all other tokens, less what chance brings: 0 nats is the same use, ${Math.LN2.toFixed(3)} shares no expert. A dot marks what is ${BEYOND_CHANCE}, from ${settings.flips} random flips of the differences within each text.${few && html` <strong>${few}.</strong>`} What was generated also differs in content and comes last: read it beside the positions.</p>
${legend(
  viridis,
  [
    [0, "0"],
    [0.5, information(most / 2)],
    [1, `${information(most)} nats`],
  ],
  "divergence beyond chance",
)}
${heatMap({
  label: "Divergence of each part of the texts from the rest, by layer",
  rows: parts.map(({ name }) => safeText(name)),
  columns: layers.map(({ layer }) => `${layer}`),
  axis: "layer",
  value: beyond,
  position: (value) => value / most,
  palette: viridis,
  unit: "divergence",
  dotted: (row, column) => (parts[row]!.of(layers[column]!)?.qValue ?? 1) <= ALPHA,
})}
<div class="scroll"><table><thead><tr><th>part of the texts</th><th class="n">tokens</th><th class="n">routing entropy, nats</th><th class="n">farthest in layer</th><th class="n">divergence, nats</th><th class="n">by chance</th><th class="n">beyond chance in</th></tr></thead><tbody>
${parts.map((part) => partRow(part, layers))}
</tbody></table></div>`;
}

function partRow({ name, of }: Part, layers: readonly LayerAnalysis[]): Html {
  const found = layers.flatMap((layer) => {
    const group = of(layer);
    return group ? [{ layer: layer.layer, ...group }] : [];
  });
  const entropies = found.flatMap(({ entropy }) => (entropy === null ? [] : [entropy]));
  const entropy = entropies.reduce((sum, nats) => sum + nats, 0) / entropies.length;
  const farthest = found.reduce((most, next) => (excess(next) > excess(most) ? next : most));
  const significant = found.filter(({ qValue }) => qValue <= ALPHA).length;
  return html`<tr><th scope="row">${safeText(name)}</th><td class="n">${count(farthest.rows)}</td><td class="n">${entropies.length > 0 ? entropy.toFixed(2) : "–"}</td><td class="n">${farthest.layer}</td><td class="n">${information(farthest.divergence)}</td><td class="n">${information(farthest.chanceDivergence)}</td><td class="n">${significant} of ${found.length} layers</td></tr>`;
}

const excess = ({ divergence, chanceDivergence }: DriftGroup) => divergence - chanceDivergence;

/** All groups that some layer has, in order. */
const groupNames = (drifts: readonly LayerAnalysis["positions"][]) => [
  ...new Set(drifts.flatMap((found) => found?.groups.map(({ name }) => name) ?? [])),
];
