import { LEAST_TEXTS } from "../../../analysis/underused-experts.ts";
import { USAGE_TOP, viridis } from "../../colours.ts";
import type { CaptureAnalysis } from "../../facts/analysis.ts";
import { count, percent, plural, times } from "../../numbers.ts";
import { heatMap, legend } from "../parts/heat-map.ts";
import { type Html, html } from "../parts/html.ts";

const MAX_UNDERUSED = 40;

export const usageLegend = (): Html =>
  legend(
    viridis,
    [
      [0, "0"],
      [1 / USAGE_TOP, "1 = fair"],
      [2 / USAGE_TOP, "2"],
      [1, `${USAGE_TOP}+`],
    ],
    "use, as multiples of the fair share",
  );

/** Layers against experts. */
export function usage({ layers, experts, topK, fairShare }: CaptureAnalysis): Html {
  const names = Array.from({ length: experts }, (_, expert) => `${expert}`);
  return html`<h2 id="usage">Expert usage</h2>
<p>Each cell is an expert: the part of the tokens it served in its layer, against the fair share of ${percent(fairShare)} (top-${topK} of ${experts}). A cross is an expert no token used.</p>
${usageLegend()}
${heatMap({
  label: "Usage of each expert by layer, against its fair share",
  rows: layers.map(({ layer }) => `layer ${layer}`),
  columns: names,
  axis: "expert",
  value: (row, column) => layers[row]!.usage.experts[column]!.share,
  position: (share) => share / fairShare / USAGE_TOP,
  palette: viridis,
  unit: "share",
  fairShare,
  crossed: (row, column) => layers[row]!.usage.experts[column]!.count === 0,
})}
${underused(layers)}`;
}

function underused(layers: CaptureAnalysis["layers"]): Html {
  const found = layers
    .flatMap(({ layer, usage }) => usage.experts.map((expert) => ({ layer, ...expert })))
    .filter(({ state }) => state !== "used")
    .sort((a, b) => a.timesFair - b.timesFair);
  if (found.length === 0) return html`<p>No expert serves less than half its fair share.</p>`;
  const significant = found.filter((of) => of.significant).length;
  const rest = found.length - MAX_UNDERUSED;
  return html`<p>${plural(found.length, "expert")} below half the fair share; for ${count(significant)} of them the texts suffice to say so (${LEAST_TEXTS} texts are the least that can).</p>
<details><summary>Underused experts</summary><div class="scroll"><table><thead><tr><th>expert</th><th class="n">tokens</th><th class="n">share</th><th class="n">times fair</th><th>95 % interval</th><th>beyond chance</th></tr></thead><tbody>
${found
  .slice(0, MAX_UNDERUSED)
  .map(
    (of) =>
      html`<tr><th scope="row">L${of.layer} E${of.expert}</th><td class="n">${count(of.count)}</td><td class="n">${percent(of.share)}</td><td class="n">${times(of.timesFair)}</td><td>${of.interval.map(percent).join(" to ")}</td><td>${of.significant ? "yes" : "too few texts"}</td></tr>`,
  )}
</tbody></table></div>${rest > 0 && html`<p class="soft">… and ${count(rest)} more.</p>`}</details>`;
}
