import { createHash } from "node:crypto";
import { ANALYSIS_FORMAT } from "../../analysis/capture-analysis.ts";
import { allMeasures, type MeasureName } from "../../analysis/measures/registry.ts";
import { argument, optionsReader, text, thing } from "../../core/options.ts";
import { packageVersion } from "../../core/package-root.ts";
import { safeText } from "../../core/safe-text.ts";
import type { CaptureAnalysis } from "../facts/analysis.ts";
import { type Html, html, trusted } from "./parts/html.ts";
import { SCRIPT } from "./parts/script.ts";
import { STYLE } from "./parts/style.ts";
import { balance } from "./sections/balance.ts";
import { coactivation } from "./sections/coactivation.ts";
import { drift } from "./sections/drift.ts";
import { hiddenStates } from "./sections/hidden-states.ts";
import { labelScores } from "./sections/label-scores.ts";
import { locality } from "./sections/locality.ts";
import { otherMeasures } from "./sections/other-measures.ts";
import { completeness, facts, subtitle } from "./sections/overview.ts";
import { specialization } from "./sections/specialization.ts";
import { texts } from "./sections/texts.ts";
import { tokenClasses } from "./sections/token-classes.ts";
import { tokenPreferences } from "./sections/token-preferences.ts";
import { usage } from "./sections/usage.ts";
import { words } from "./sections/words.ts";

/** How {@link reportHtml} presents an analysis. */
export interface ReportOptions {
  /** Default: the model's name. */
  readonly title?: string;
}

const readOptions = optionsReader<ReportOptions>("reportHtml", { title: text });

const wholeAnalysis = thing<CaptureAnalysis>(
  "what analyzeCapture gives when it is asked for all measures",
  (value) => {
    const { format, layers } = value as CaptureAnalysis;
    if (format !== ANALYSIS_FORMAT) return false;
    return allMeasures.every(({ scope, name }) =>
      scope === "layer" ? layers.every((layer) => name in layer) : name in value,
    );
  },
);

/** What no injected markup could get around: no network, and no script but ours. */
const POLICY = `default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-${createHash("sha256").update(SCRIPT).digest("base64")}'`;

/** A section, the id of its heading, and the measures it shows. */
interface Section {
  readonly id: string;
  /** In the list of sections. */
  readonly title: string;
  readonly shows: readonly MeasureName[];
  readonly html: (analysis: CaptureAnalysis) => Html;
}

/** In order; a measure that no section shows is shown by the last but one. */
const SECTIONS: readonly Section[] = [
  { id: "usage", title: "Expert usage", shows: ["usage"], html: usage },
  {
    id: "balance",
    title: "Layer by layer",
    shows: ["balance", "entropy", "margin", "routerLosses", "modelLosses"],
    html: balance,
  },
  {
    id: "labels",
    title: "Specialization",
    shows: ["specialization", "specializedExperts"],
    html: specialization,
  },
  {
    id: "scores",
    title: "Scores of the literature",
    shows: ["labelScores", "scoredExperts"],
    html: labelScores,
  },
  { id: "tokens", title: "Token preferences", shows: ["tokenPreferences"], html: tokenPreferences },
  { id: "classes", title: "Kinds of token", shows: ["tokenClasses"], html: tokenClasses },
  { id: "drift", title: "Drift", shows: ["positions", "phases"], html: drift },
  { id: "texts", title: "Entropy along the text", shows: ["texts"], html: texts },
  {
    id: "coactivation",
    title: "Co-activation",
    shows: ["coactivation", "flows", "paths"],
    html: coactivation,
  },
  { id: "locality", title: "Caches of experts", shows: ["locality", "nextExperts"], html: locality },
  { id: "hidden", title: "Hidden states", shows: ["hiddenStates"], html: hiddenStates },
  { id: "others", title: "Other measures", shows: [], html: others },
  { id: "words", title: "Words", shows: [], html: words },
];

const COMPLETENESS = { id: "completeness", title: "What was captured" };

/** What has no section of its own. */
function others(analysis: CaptureAnalysis): Html {
  return otherMeasures(analysis, new Set(SECTIONS.flatMap(({ shows }) => shows)));
}

/**
 * An analysis as one HTML file that needs nothing else: no network, no server. It is to be shown to others, printed or
 * read on a phone. Its size is bounded: large models show a part of the layers where it says so.
 *
 * @param analysis with all measures.
 * @returns the document's text.
 * @throws RequestError `INVALID_ARGUMENT` for what is no such analysis, or an unknown option.
 * @example
 * import { writeFile } from "node:fs/promises";
 * import { openCapture, reportHtml } from "moescope";
 * import { analyzeCapture } from "moescope/analysis";
 * const analysis = await analyzeCapture(await openCapture("run1"));
 * await writeFile("report.html", reportHtml(analysis));
 */
export function reportHtml(analysis: CaptureAnalysis, options: ReportOptions = {}): string {
  argument("reportHtml", "the analysis", analysis, wholeAnalysis);
  const { title = analysis.model.name } = readOptions(options);
  const dense = analysis.layers.length === 0;
  const name = safeText(title);
  const sections = dense
    ? [html`<p>This capture has no routing: a dense model has no experts.</p>`]
    : SECTIONS.map((section) => section.html(analysis));
  const body = html`${completeness(analysis)}${sections}`;
  const links = [COMPLETENESS, ...SECTIONS].filter(({ id }) => body.html.includes(`id="${id}"`));
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${trusted(POLICY)}">
<title>${name}: expert routing</title><style>${trusted(STYLE)}</style></head>
<body><header><div class="top"><h1>${name}</h1><button id="theme" type="button" aria-label="Switch between light and dark" hidden></button></div>
${subtitle(analysis)}${facts(analysis)}
<nav aria-label="Sections">${links.map(({ id, title: text }) => html`<a href="#${id}">${text}</a>`)}</nav></header>
<main>${body}</main>
<footer>Made by moescope ${packageVersion} from ${analysis.completeness.rows} tokens; permutations ${analysis.settings.permutations}, seed ${analysis.settings.seed}.</footer>
<script>${trusted(SCRIPT)}</script></body></html>
`.html;
}
