import type { CaptureAnalysis } from "../../facts/analysis.ts";
import { localitySummary, type OverLayers } from "../../facts/locality.ts";
import { count, percent, plural } from "../../numbers.ts";
import { type Html, html } from "../parts/html.ts";

/** For who loads experts on demand: what a cache serves, what can be loaded ahead. */
export function locality(analysis: CaptureAnalysis): Html {
  const found = localitySummary(analysis);
  if (!found) return html``;
  return html`<h2 id="locality">Caches of experts</h2>
<p>What a cache of so many of each layer's ${analysis.experts} experts would serve of what tokens ask for, in the mean of the layers, over ${plural(found.texts, "text")} of ${count(found.tokens)} tokens, one text after the other. ${percent(found.repeated)} of a token's experts were used by the token before as well; ${percent(found.repeatedByChance)} would be by chance.</p>
<div class="scroll"><table><thead><tr><th class="n">experts</th><th class="n">LRU</th><th class="n">by layer</th><th class="n">LRU, each text from empty</th><th class="n">LFU</th><th class="n">best possible (Belady)</th></tr></thead><tbody>
${found.caches.map(
  ({ size, lru, lruCold, lfu, belady }) =>
    html`<tr><td class="n">${size}</td><td class="n">${percent(lru.mean)}</td><td class="n">${range(lru)}</td><td class="n">${percent(lruCold)}</td><td class="n">${percent(lfu)}</td><td class="n">${percent(belady)}</td></tr>`,
)}
</tbody></table></div>
${
  found.unions.length > 1 &&
  html`<h3>Experts of n tokens</h3>
<p>How many different experts of a layer n tokens use that follow each other: what checking n drafted tokens at once loads.</p>
<div class="scroll"><table><thead><tr><th class="n">tokens</th><th class="n">experts</th><th class="n">by chance</th></tr></thead><tbody>
${found.unions.map(({ tokens, experts, byChance }) => html`<tr><td class="n">${tokens}</td><td class="n">${experts.toFixed(1)}</td><td class="n">${byChance.toFixed(1)}</td></tr>`)}
</tbody></table></div>`
}${
  found.recalls.length > 0 &&
  html`<h3>Loading the next layer's experts ahead</h3>
<p>The part of a token's experts that are among so many predicted from its experts in the layer before, in texts that were not learnt from.</p>
<div class="scroll"><table><thead><tr><th class="n">predicted</th><th class="n">recall</th><th class="n">by layer</th><th class="n">the most used experts</th></tr></thead><tbody>
${found.recalls.map(({ predicted, recall, byPopularity }) => html`<tr><td class="n">${predicted}</td><td class="n">${percent(recall.mean)}</td><td class="n">${range(recall)}</td><td class="n">${percent(byPopularity)}</td></tr>`)}
</tbody></table></div>`
}`;
}

const range = ({ least, most }: OverLayers) => `${percent(least)} to ${percent(most)}`;
