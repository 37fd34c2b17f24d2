import type { TokenPreferences } from "../../../analysis/measures/token-preferences.ts";
import { safeText, safeToken } from "../../../core/safe-text.ts";
import { tokensTested } from "../../evidence.ts";
import type { CaptureAnalysis, LayerAnalysis } from "../../facts/analysis.ts";
import { percent, plural, qOf, times } from "../../numbers.ts";
import { type Html, html } from "../parts/html.ts";
import { spread } from "../parts/spread.ts";

/** Experts described; an expert takes about 1.5 KB. */
const MAX_EXPERTS = 384;
/** The first layer is unfolded where it is no more than a page or two. */
const MAX_OPEN = 32;
const MAX_TOKENS = 8;
const MAX_CONTEXTS = 2;
/** Characters of a context on each side of its token. */
const CONTEXT = 32;

/** Which tokens each expert prefers: a fold per layer. */
export function tokenPreferences({ layers, experts }: CaptureAnalysis): Html {
  const shown = spread(layers, Math.max(1, Math.floor(MAX_EXPERTS / Math.max(1, experts))));
  const hidden = layers.length - shown.length;
  return html`<h2 id="tokens">Token preferences</h2>
<p>Tokens that an expert serves far more often than others do, and where it took most weight. ${shown.slice(0, 1).map((layer) => sentence(tokensTested(layer.tokenPreferences)))} Spaces are shown as ·, line ends as ↵.</p>
${shown.map(layerPreferences)}
${hidden > 0 && html`<p class="soft">${plural(hidden, "more layer")} left out to keep this file small; <code>moescope analyze DIR --json</code> has all.</p>`}`;
}

function layerPreferences({ layer, tokenPreferences, usage }: LayerAnalysis, index: number): Html {
  const open = index === 0 && usage.experts.length <= MAX_OPEN;
  return html`<details${open ? html` open` : ""}><summary>Layer ${layer}</summary><div class="scroll"><table class="stack"><thead><tr><th>expert</th><th class="n">share</th><th>tokens beyond chance, by lift</th><th>heaviest, in context</th></tr></thead><tbody>
${tokenPreferences.experts.map(
  (of) =>
    html`<tr><th scope="row">E${of.expert}</th><td class="n">${percent(usage.experts[of.expert]!.share)}</td><td class="wide">${tokens(of)}</td><td class="wide">${contexts(of)}</td></tr>`,
)}
</tbody></table></div></details>`;
}

const sentence = (text: string) => `${text[0]!.toUpperCase()}${text.slice(1)}.`;

const tokens = ({ byLift }: TokenPreferences) =>
  byLift
    .slice(0, MAX_TOKENS)
    .map(
      ({ text, count, of, texts, lift, qValue }) =>
        html`<span class="tok" title="${`${count} of its ${of} occurrences in ${plural(texts, "text")}, ${times(lift)} as often as other tokens, ${qOf(qValue)}`}">${safeToken(text)}</span> `,
    );

const contexts = ({ byWeight }: TokenPreferences) =>
  byWeight
    .slice(0, MAX_CONTEXTS)
    .map(
      ({ before, text, after, weight }) =>
        html`<div class="ctx" title="${`weight ${weight.toFixed(3)}`}">${safeText(before.slice(-CONTEXT))}<mark>${safeToken(text)}</mark>${safeText(after.slice(0, CONTEXT))}</div>`,
    );
