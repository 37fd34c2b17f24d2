import type { CaptureAnalysis } from "../../facts/analysis.ts";
import { percent, points, withHalfWidth } from "../../numbers.ts";
import { type Html, html } from "../parts/html.ts";
import { labelName } from "./overview.ts";

const PER_LABEL = 5;
const MAX_LABELS = 12;

/** What papers on steering and tuning experts score them by. */
export function labelScores({ layers, labels, scoredExperts }: CaptureAnalysis): Html {
  const scored = layers.flatMap(({ labelScores }) => labelScores ?? []);
  const [first] = scored;
  if (!first) return html``;
  const named = labels.filter(({ label }) => label !== null).slice(0, MAX_LABELS);
  const listed = named.flatMap(({ label }) =>
    scoredExperts.filter((of) => of.label === label).slice(0, PER_LABEL),
  );
  const trained = first.labels.map((label, l) => ({
    label,
    experts: scored.reduce((sum, { esftExperts }) => sum + esftExperts[l]!.length, 0) / scored.length,
  }));
  return html`<h2 id="scores">Scores of the literature</h2>
${
  listed.length > 0 &&
  html`<p>The ${PER_LABEL} experts of greatest risk difference for each label, more or less used than by all others. Intervals hold for each figure by itself, a text as one observation. Stable: the part of 100 resamples of the texts in which it is among the ${first.stabilityTop} in front.</p>
<div class="scroll"><table><thead><tr><th>label</th><th>expert</th><th class="n">risk difference</th><th class="n">nPMI</th><th class="n">stable</th><th class="n">ESFT token score</th><th class="n">ESFT gate score</th></tr></thead><tbody>
${listed.map(
  (of) =>
    html`<tr><td>${labelName(of.label)}</td><th scope="row">L${of.layer} E${of.expert}</th><td class="n">${withHalfWidth(of.riskDifference, of.riskHalfWidth, points)}</td><td class="n">${withHalfWidth(of.npmi, of.npmiHalfWidth, (value) => value.toFixed(2))}</td><td class="n">${percent(of.stability)}</td><td class="n">${withHalfWidth(of.esftToken, of.esftTokenHalfWidth, percent)}</td><td class="n">${of.esftGate === null ? "–" : of.esftGate.toFixed(3)}</td></tr>`,
)}
</tbody></table></div>`
}<p>Experts that ESFT would train, those of most token score that together reach a fifth of it, in the mean of the layers: ${trained
    .slice(0, MAX_LABELS)
    .map(
      ({ label, experts }, i) =>
        html`${i > 0 && "; "}${label === null ? "all texts" : labelName(label)} ${experts.toFixed(1)}`,
    )}.</p>`;
}
