import type { CoactivationPair } from "../../../analysis/measures/coactivation.ts";
import { safeToken } from "../../../core/safe-text.ts";
import { diverging } from "../../colours.ts";
import { pairsTested } from "../../evidence.ts";
import type { CaptureAnalysis, LayerAnalysis } from "../../facts/analysis.ts";
import { count, information, percent, qOf, times } from "../../numbers.ts";
import { heatMap, legend } from "../parts/heat-map.ts";
import { type Html, html } from "../parts/html.ts";

/** Maps of pairs; with 128 experts one takes 45 KB. */
const MAX_MAPS = 6;
const MAX_PAIRS = 5;
/** Relative lift at the ends of the colours: four times as often, or a quarter. */
const TOP = 4;
const MAX_PATHS = 10;

/** Experts that serve the same tokens, within a layer and from layer to layer. */
export function coactivation(analysis: CaptureAnalysis): Html {
  const layers = analysis.layers.filter((layer) => layer.coactivation !== null);
  const step = Math.max(1, Math.ceil(layers.length / MAX_MAPS));
  const shown = layers.filter((_, i) => i % step === 0);
  return html`<h2 id="coactivation">Experts that serve the same tokens</h2>
${
  layers.length > 0 &&
  html`<p>How often two experts serve the same token, over how often they would if each token drew its experts independently, each as often as it is used. Named are pairs beyond chance: ${pairsTested(layers[0]!.coactivation!)}. Experts are in the order of their clusters, so that groups are blocks on the diagonal.</p>
${legend(
  (position) => diverging(2 * position - 1),
  [
    [0, `¼ or less`],
    [0.5, "1 = chance"],
    [1, `${TOP}× or more`],
  ],
  "how often together",
)}
<div class="maps">${shown.map(pairs)}</div>
${shown.length < layers.length && html`<p class="soft">Every ${step}${step === 2 ? "nd" : step === 3 ? "rd" : "th"} layer.</p>`}`
}
${flows(analysis)}`;
}

function pairs({ layer, coactivation }: LayerAnalysis): Html {
  const { order, lift, together, apart, clusters, silhouette } = coactivation!;
  return html`<div><h3>Layer ${layer}</h3>
${
  lift &&
  heatMap({
    label: `Co-activation of the experts of layer ${layer}, in the order of their clusters`,
    rows: order.map((expert) => `E${expert}`),
    columns: order.map((expert) => `${expert}`),
    axis: "expert",
    columnWord: "with expert",
    value: (row, column) => (row === column ? null : lift[order[row]!]![order[column]!]!),
    position: (value) => (Math.log(Math.max(value, 1e-9)) / Math.log(TOP) + 1) / 2,
    palette: (position) => diverging(2 * position - 1),
    unit: "lift",
    rowHeight: 18,
  })
}
<p>${together.length > 0 && html`Together: ${list(together)}.`} ${apart.length > 0 && html`Apart: ${list(apart)}.`}</p>
${
  silhouette !== null &&
  silhouette >= 0.25 &&
  html`<p class="soft">Groups: ${clusters.map((of) => of.join(" ")).join(" | ")} (silhouette ${silhouette.toFixed(2)})</p>`
}</div>`;
}

const list = (of: readonly CoactivationPair[]) =>
  of
    .slice(0, MAX_PAIRS)
    .map(({ a, b, lift, qValue }) => `E${a} E${b} ${lift === 0 ? "never" : times(lift)} (${qOf(qValue)})`)
    .join(", ");

function flows({ flows, paths }: CaptureAnalysis): Html {
  if (flows.length === 0) return html``;
  return html`<h3>From layer to layer</h3>
<p>How much a layer's best expert tells of the next layer's, and the strongest link.</p>
<div class="scroll"><table><thead><tr><th>layers</th><th class="n">tells, bits</th><th class="n">of</th><th>link</th><th class="n">follows</th><th class="n">against chance</th></tr></thead><tbody>
${flows.map(({ from, to, information: bits, entropy, edges: [edge] }) => html`<tr><th scope="row">${from} → ${to}</th><td class="n">${bits === null ? "too few tokens" : information(bits)}</td><td class="n">${information(entropy)}</td>${edge ? html`<td>E${edge.a} → E${edge.b}</td><td class="n">${percent(edge.probability)}</td><td class="n">${times(edge.lift)}</td>` : html`<td colspan="3"></td>`}</tr>`)}
</tbody></table></div>
${paths.slice(0, 1).map(
  ({ layers, top }) => html`<h3>Most frequent paths, layers ${layers[0]!} to ${layers.at(-1)!}</h3>
<div class="scroll"><table><thead><tr><th>best experts</th><th class="n">tokens</th><th class="n">share</th><th>most often</th></tr></thead><tbody>
${top.slice(0, MAX_PATHS).map((path) => html`<tr><td>${path.experts.join(" → ")}</td><td class="n">${count(path.count)}</td><td class="n">${percent(path.share)}</td><td>${path.tokens.map(({ text }) => html`<span class="tok">${safeToken(text)}</span> `)}</td></tr>`)}
</tbody></table></div>`,
)}`;
}
