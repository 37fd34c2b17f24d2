import type { MeasureName } from "../../../analysis/measures/registry.ts";
import { safeText } from "../../../core/safe-text.ts";
import type { CaptureAnalysis } from "../../facts/analysis.ts";
import { type OtherResult, otherResults } from "../../facts/other-results.ts";
import { type Html, html } from "../parts/html.ts";

/** Measures that no section shows: their words and figures. */
export function otherMeasures(analysis: CaptureAnalysis, shown: ReadonlySet<MeasureName>): Html {
  const found = otherResults(analysis, shown);
  if (found.length === 0) return html``;
  return html`<h2 id="others">Other measures</h2>${found.map(measure)}`;
}

const measure = ({
  title,
  text,
  uncertainty,
  by,
  columns,
  rows,
  more,
}: OtherResult): Html => html`<h3>${title}</h3>
<p>${text}${uncertainty !== "none" && html` Uncertainty: ${uncertainty}.`}</p>
${
  columns.length > 0 &&
  html`<div class="scroll"><table><thead><tr>${by !== null && html`<th>${by}</th>`}${columns.map((column) => html`<th class="n">${safeText(column)}</th>`)}</tr></thead><tbody>
${rows.map(({ name, figures }) => html`<tr>${by !== null && html`<th scope="row">${name}</th>`}${figures.map((figure) => html`<td class="n">${figure === null ? "–" : safeText(figure)}</td>`)}</tr>`)}
</tbody></table></div>`
}${more && html`<p class="soft"><code>moescope analyze DIR --json</code> has all of it.</p>`}`;
