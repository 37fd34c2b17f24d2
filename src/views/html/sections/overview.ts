import { ranges } from "../../../core/plan.ts";
import { safeText } from "../../../core/safe-text.ts";
import { notFinite } from "../../evidence.ts";
import type { CaptureAnalysis } from "../../facts/analysis.ts";
import { bytes, count, percent, plural } from "../../numbers.ts";
import { type Html, html } from "../parts/html.ts";

/** Entries of lists that grow with a run's troubles. */
const MAX_MISSING = 20;

/** What was looked at, in numbers. */
export function facts({
  model,
  completeness,
  experts,
  topK,
  fairShare,
  layers,
  labels,
}: CaptureAnalysis): Html {
  const dead = layers.flatMap(({ usage }) => usage.experts.filter(({ state }) => state === "dead")).length;
  const entries: [string, string][] = [
    ["tokens", count(completeness.rows)],
    ["texts", count(completeness.samplesWithRows)],
    ["labels", count(labels.filter(({ label }) => label !== null).length)],
    ["MoE layers", `${layers.length} of ${model.layers}`],
    ["experts a layer", `${experts}, top-${topK}`],
    ["fair share", percent(fairShare)],
    ["never used", `${count(dead)} of ${count(layers.length * experts)}`],
    ["parameters", count(model.parameters)],
  ];
  return html`<dl class="facts">${entries.map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
}

export function subtitle({ model, engine }: CaptureAnalysis): Html {
  return html`<p class="soft">${[
    safeText(model.architecture),
    safeText(model.quantization),
    bytes(model.bytes),
    `${safeText(engine.kind)} ${safeText(engine.version)}`,
  ].join(" · ")}</p>`;
}

/** Which rows are here, which are missing, and why. */
export function completeness({ completeness: found, labels, layers }: CaptureAnalysis): Html {
  const { missing } = found;
  const broken = notFinite(layers);
  const rest = missing.length - MAX_MISSING;
  const selected = found.promptTokensWithoutRow > 0 && missing.length === 0;
  return html`<h2 id="completeness">What was captured</h2>
${
  found.complete
    ? html`<p>✓ The run came to its end: ${plural(found.rows, "token")} of ${plural(found.samplesWithRows, "text")}${
        found.generatedRows > 0
          ? `, ${count(found.promptRows)} of prompts and ${count(found.generatedRows)} generated`
          : ""
      }.</p>`
    : html`<p class="warn"><strong>Incomplete.</strong> The run did not come to its end; everything below is about the ${plural(found.rows, "token")} it left, of ${count(found.samplesWithRows)} of ${plural(found.samples, "text")}.</p>`
}
${broken && html`<p class="warn">${broken}.</p>`}
${selected && html`<p>${plural(found.promptTokensWithoutRow, "prompt token")} of these texts ${found.promptTokensWithoutRow === 1 ? "is" : "are"} not in the capture, which selected rows.</p>`}
${
  missing.length > 0 &&
  html`<div class="scroll"><table><caption class="soft">Missing rows</caption><thead><tr><th>text</th><th>positions</th><th>why</th></tr></thead><tbody>
${missing
  .slice(0, MAX_MISSING)
  .map(
    ({ sample, from, to, why }) =>
      html`<tr><td>${sample}</td><td>${from} to ${to === null ? "its end" : to - 1}</td><td class="wide">${safeText(why)}</td></tr>`,
  )}
</tbody></table></div>${rest > 0 && html`<p class="soft">… and of ${plural(rest, "more text")}.</p>`}`
}
<div class="pair"><div class="scroll"><table><thead><tr><th>stream</th><th>layers</th></tr></thead><tbody>
${found.streams.map(({ name, layers }) => html`<tr><td><code>${name}</code></td><td>${layers.length === 0 ? "none" : ranges(layers)}</td></tr>`)}
</tbody></table>${found.layersWithoutRows.length > 0 && html`<p>MoE layers without rows: ${ranges(found.layersWithoutRows)}.</p>`}</div>
<div class="scroll"><table><thead><tr><th>label</th><th class="n">texts</th><th class="n">tokens</th></tr></thead><tbody>
${labels.map(({ label, samples, rows }) => html`<tr><td>${labelName(label)}</td><td class="n">${count(samples)}</td><td class="n">${count(rows)}</td></tr>`)}
</tbody></table></div></div>`;
}

export const labelName = (label: string | null) => (label === null ? "(no label)" : safeText(label));
