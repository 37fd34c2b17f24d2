import { USAGE_TOP, viridis } from "../../colours.ts";
import { ALPHA, BEYOND_CHANCE, labelNotes } from "../../evidence.ts";
import type { CaptureAnalysis } from "../../facts/analysis.ts";
import { count, percent, plural, points, probability, qOf, times } from "../../numbers.ts";
import { heatMap } from "../parts/heat-map.ts";
import { type Html, html } from "../parts/html.ts";
import { labelName } from "./overview.ts";
import { usageLegend } from "./usage.ts";

/** Maps of labels: values in all of them together, so that a report stays small. */
const MAX_VALUES = 250_000;
const MAX_MAPS = 12;
const PER_LABEL = 3;

/** Which experts serve which label, and whether that is chance. */
export function specialization(analysis: CaptureAnalysis): Html {
  const { layers, labels, experts, settings } = analysis;
  const tested = layers.find((layer) => layer.specialization)?.specialization;
  if (!tested)
    return html`<h2 id="labels">Specialization</h2>
<p>The texts have fewer than two labels. Give prompts labels (<code>{"prompt": …, "label": "math"}</code> a line) to see which experts serve what.</p>`;
  const fitting = Math.min(MAX_MAPS, Math.floor(MAX_VALUES / (layers.length * experts)));
  const shown = labels.filter(({ label }) => label !== null).slice(0, fitting);
  const hidden = labels.filter(({ label }) => label !== null).length - shown.length;
  const notes = labelNotes(tested);
  return html`<h2 id="labels">Specialization</h2>
<p>Where each label's tokens go. A dot marks experts that serve the label more than the other labels, ${BEYOND_CHANCE}, from ${settings.permutations} permutations of the labels between texts.${notes.map((note) => html` <strong>${note}.</strong>`)}</p>
${usageLegend()}
<div class="maps">${shown.map(({ label }) => labelMap(analysis, label!))}</div>
${hidden > 0 && html`<p class="soft">Maps of ${plural(hidden, "more label")} are left out.</p>`}
${specializedTable(analysis)}`;
}

function labelMap({ layers, experts, fairShare }: CaptureAnalysis, label: string): Html {
  const usage = layers.map((layer) => layer.usage.byLabel.find((of) => of.label === label)!);
  const tests = layers.map(({ specialization }) => ({
    specialization,
    group: specialization?.groups.indexOf(label) ?? -1,
  }));
  const share = (row: number, column: number) =>
    usage[row]!.rows === 0 ? null : usage[row]!.counts[column]! / usage[row]!.rows;
  return html`<div><h3>${labelName(label)}</h3>${heatMap({
    label: `Usage of each expert by layer for ${labelName(label)}`,
    rows: layers.map(({ layer }) => `L${layer}`),
    columns: Array.from({ length: experts }, (_, expert) => `${expert}`),
    axis: "expert",
    value: share,
    position: (value) => value / fairShare / USAGE_TOP,
    palette: viridis,
    unit: "share",
    fairShare,
    rowHeight: 16,
    crossed: (row, column) => share(row, column) === 0,
    dotted: (row, column) => {
      const { specialization, group } = tests[row]!;
      return group >= 0 && specialization!.shares.qValues[group]![column]! <= ALPHA;
    },
  })}</div>`;
}

function specializedTable({ specializedExperts, labels, fairShare }: CaptureAnalysis): Html {
  if (specializedExperts.length === 0)
    return html`<p>No expert is specialized: what differs between the labels may be chance. More texts of each label can tell.</p>`;
  const rows = labels.flatMap(({ label }) =>
    specializedExperts.filter((found) => found.label === label).slice(0, PER_LABEL),
  );
  return html`<h3>Specialized experts</h3>
<p>${plural(specializedExperts.length, "combination")} of expert and label ${specializedExperts.length === 1 ? "is" : "are"} beyond chance; the ${PER_LABEL} farthest above the other labels for each (the fair share is ${percent(fairShare)}):</p>
<div class="scroll"><table><thead><tr><th>label</th><th>expert</th><th class="n">of the label's tokens</th><th class="n">times fair</th><th class="n">more than other labels</th><th class="n">tokens</th><th>p</th><th>q</th></tr></thead><tbody>
${rows.map(
  (of) =>
    html`<tr><td>${labelName(of.label)}</td><th scope="row">L${of.layer} E${of.expert}</th><td class="n">${percent(of.share)}</td><td class="n">${times(of.timesFair)}</td><td class="n">${points(of.difference)}${of.halfWidth !== null && ` ± ${points(of.halfWidth).slice(1).replace(" points", "")}`}</td><td class="n">${count(of.count)}</td><td>${probability(of.pValue)}</td><td>${qOf(of.qValue)}</td></tr>`,
)}
</tbody></table></div>`;
}
