import { largest } from "../../../core/extremes.ts";
import type { CaptureAnalysis, LayerAnalysis } from "../../facts/analysis.ts";
import { inColumn, probability } from "../../numbers.ts";
import { bar } from "../parts/bar.ts";
import { type Html, html } from "../parts/html.ts";

/** Load balance, confidence of the router and what experts tell, layer by layer. */
export function balance({ layers, experts, modelLosses }: CaptureAnalysis): Html {
  const most = (of: (layer: LayerAnalysis) => number | null | undefined) =>
    Math.max(0, largest(layers.map((layer) => of(layer) ?? 0)));
  const maxCv = most(({ balance }) => balance?.cv);
  const maxEntropy = Math.log(experts);
  const maxBits = most(({ specialization }) => beyondChance(specialization));
  return html`<h2 id="balance">Layer by layer</h2>
<p>How evenly the load is spread, how sure the router is, and how much an expert tells of the text's label. Words are explained <a href="#words">below</a>.</p>
<div class="scroll"><table><thead><tr><th>layer</th><th class="n">CV</th><th></th><th class="n">MaxVio</th><th class="n">usage entropy</th><th class="n">balancing loss</th><th class="n">z-loss</th><th class="n">routing entropy, nats</th><th></th><th class="n">margin, logits</th><th class="n">label, bits</th><th></th><th>chance?</th></tr></thead><tbody>
${layers.map(
  ({
    layer,
    balance,
    entropy,
    margin,
    specialization,
    routerLosses,
  }) => html`<tr><th scope="row">${layer}</th>
<td class="n">${fixed(balance?.cv)}</td><td>${bar((balance?.cv ?? 0) / maxCv)}</td><td class="n">${fixed(balance?.maxVio)}</td><td class="n">${balance ? balance.entropy.toFixed(3) : "–"}</td><td class="n">${fixed(routerLosses?.loadBalancing)}</td><td class="n">${fixed(routerLosses?.zLoss)}</td>
<td class="n">${fixed(entropy?.mean)}</td><td>${entropy && bar((entropy.mean ?? 0) / maxEntropy)}</td><td class="n">${fixed(margin?.mean)}</td>
<td class="n">${specialization ? inColumn(beyondChance(specialization)!) : "–"}</td><td>${specialization && bar(beyondChance(specialization)! / maxBits)}</td><td>${specialization ? probability(specialization.pValue) : "no labels"}</td></tr>`,
)}
</tbody></table></div>
<p class="soft">Bars: CV and label bits against the largest; routing entropy against ln ${experts} = ${maxEntropy.toFixed(2)} nats.</p>${
    modelLosses &&
    html`<p>Of all layers together: load-balancing loss ${modelLosses.loadBalancing.toFixed(3)} (${modelLosses.even} is even), z-loss ${inColumn(modelLosses.zLoss)}.</p>`
  }`;
}

/** Mutual information with what chance brings taken off. */
const beyondChance = (of: LayerAnalysis["specialization"]) =>
  of && Math.max(0, of.mutualInformation - of.chanceInformation);

const fixed = (value: number | null | undefined) =>
  value === null || value === undefined ? "–" : value.toFixed(2);
