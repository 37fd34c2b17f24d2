import type { TextStrip } from "../../../analysis/measures/texts.ts";
import { largest, smallest } from "../../../core/extremes.ts";
import { safeToken } from "../../../core/safe-text.ts";
import { hex, viridis } from "../../colours.ts";
import type { CaptureAnalysis } from "../../facts/analysis.ts";
import { plural } from "../../numbers.ts";
import { legend } from "../parts/heat-map.ts";
import { type Html, html } from "../parts/html.ts";
import { labelName } from "./overview.ts";

/** Tokens of a text that are shown; each takes about 150 bytes. */
const MAX_TOKENS = 160;
/** Best experts named in a token's tooltip. */
const MAX_LAYERS = 8;

/** Some texts, each token above the colour of its routing entropy, with the entropy as a line on top. */
export function texts({ texts: strips, experts }: CaptureAnalysis): Html {
  const shown = strips.filter(({ entropy }) => entropy !== null);
  if (shown.length === 0) return html``;
  const most = Math.log(experts);
  return html`<h2 id="texts">Routing entropy along the text</h2>
<p>How undecided the router is at each token, the mean of the layers: 0 nats is one expert for sure, ${most.toFixed(2)} all alike. What was generated comes after ▸.</p>
${legend(
  viridis,
  [
    [0, "0"],
    [0.5, (most / 2).toFixed(2)],
    [1, `${most.toFixed(2)} nats`],
  ],
  "mean routing entropy",
)}
${shown.map((strip) => text(strip, most))}`;
}

function text(strip: TextStrip, most: number): Html {
  const tokens = strip.tokens.slice(0, MAX_TOKENS);
  const means = tokens.map(
    (_, i) => strip.entropy!.reduce((sum, layer) => sum + layer[i]!, 0) / strip.entropy!.length,
  );
  const mean = means.reduce((sum, nats) => sum + nats, 0) / means.length;
  const firstGenerated = tokens.findIndex(({ generated }) => generated);
  return html`<section><h3>${labelName(strip.label)} <span class="soft">· text ${strip.sample}, mean ${mean.toFixed(2)} nats</span></h3>
${line(means, most)}
<div class="strip">${tokens.map((token, i) => {
    const colour = viridis(means[i]! / most);
    return html`${i === firstGenerated ? "▸" : ""}<span style="--c:${hex(colour)}" title="${describe(strip, i, means[i]!)}">${safeToken(token.text)}</span>${token.text.includes("\n") ? html`<br>` : ""}`;
  })}</div>
${strip.rows > tokens.length && html`<p class="soft">… ${plural(strip.rows - tokens.length, "more token")}</p>`}</section>`;
}

function describe({ tokens, layers, best }: TextStrip, i: number, mean: number): string {
  const step = Math.ceil(layers.length / MAX_LAYERS);
  const experts = layers.flatMap((layer, l) => (l % step === 0 ? [`L${layer} E${best[l]![i]}`] : []));
  return `position ${tokens[i]!.position}: ${mean.toFixed(3)} nats; best experts ${experts.join(", ")}`;
}

/** Entropy by position. */
function line(means: readonly number[], most: number): Html {
  const path = means.map((nats, i) => `${i === 0 ? "M" : "L"}${i} ${(most - nats).toFixed(2)}`).join("");
  return html`<svg class="line" viewBox="0 0 ${Math.max(1, means.length - 1)} ${most.toFixed(2)}" preserveAspectRatio="none" role="img" aria-label="Routing entropy from ${smallest(means).toFixed(2)} to ${largest(means).toFixed(2)} nats over ${means.length} tokens"><line x1="0" x2="${means.length}" y1="${most.toFixed(2)}" y2="${most.toFixed(2)}"/><path d="${path}"/></svg>`;
}
