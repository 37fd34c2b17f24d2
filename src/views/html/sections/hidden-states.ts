import type { HiddenStates } from "../../../analysis/measures/hidden-states.ts";
import type { CaptureAnalysis, LayerAnalysis } from "../../facts/analysis.ts";
import { count, percent } from "../../numbers.ts";
import { bar } from "../parts/bar.ts";
import { type Html, html } from "../parts/html.ts";

/** Pairs of experts named per layer. */
const MAX_SIMILAR = 3;

/** How much of a layer's choice stands in the hidden state of the layer before; nothing unless that was captured. */
export function hiddenStates({ layers }: CaptureAnalysis): Html {
  const related = layers.filter((layer) => layer.hiddenStates !== null);
  if (related.length === 0) return html``;
  const probe = related.find((layer) => layer.hiddenStates!.probe)?.hiddenStates?.probe;
  return html`<h2 id="hidden">What the hidden state tells</h2>
<p>How often a linear classifier names a token's best expert from the state that leaves the layer before${probe ? html`, in ${count(probe.testedRows)} tokens of texts it was not fitted on` : ""}. Beside it, the expert the token most often had, whatever its context, and the most frequent expert. What the probe gets beyond the token was decided by context, one layer earlier.</p>
${!probe && html`<p>Too few texts to hold some out: the classifier needs 8.</p>`}
<div class="scroll"><table><thead><tr><th>layer</th><th class="n">linear probe</th><th></th><th>95 % interval</th><th class="n">by the token</th><th class="n">by chance</th><th>experts with the most similar states (cosine)</th></tr></thead><tbody>
${related.map(row)}
</tbody></table></div>`;
}

function row({ layer, hiddenStates }: LayerAnalysis): Html {
  const { probe, mostSimilar } = hiddenStates!;
  const cells = probe
    ? html`<td class="n">${percent(probe.accuracy)}</td><td>${bar(probe.accuracy)}</td><td>${probe.interval.map(percent).join(" to ")}</td><td class="n">${percent(probe.tokenAccuracy)}</td><td class="n">${percent(probe.chance)}</td>`
    : html`<td class="n">–</td><td></td><td>–</td><td class="n">–</td><td class="n">–</td>`;
  return html`<tr><th scope="row">${layer}</th>${cells}<td>${pairs(mostSimilar)}</td></tr>`;
}

const pairs = (similar: HiddenStates["mostSimilar"]) =>
  similar.length === 0
    ? "–"
    : similar
        .slice(0, MAX_SIMILAR)
        .map(({ a, b, cosine }) => `E${a} and E${b} ${cosine.toFixed(2)}`)
        .join(", ");
