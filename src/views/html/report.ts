import { createHash } from "node:crypto";
import type { CaptureAnalysis } from "../../analysis/capture-analysis.ts";
import { packageVersion } from "../../package-root.ts";
import { safeText } from "../safe-text.ts";
import { balance } from "./balance.ts";
import { company } from "./coactivation.ts";
import { drift } from "./drift.ts";
import { hiddenStates } from "./hidden-states.ts";
import { html, trusted } from "./html.ts";
import { completeness, facts, subtitle } from "./overview.ts";
import { SCRIPT } from "./script.ts";
import { specialization } from "./specialization.ts";
import { STYLE } from "./style.ts";
import { texts } from "./texts.ts";
import { tokenClasses } from "./token-classes.ts";
import { tastes } from "./token-preferences.ts";
import { usage } from "./usage.ts";
import { words } from "./words.ts";

export interface ReportOptions {
  /** Default: the model's name. */
  readonly title?: string;
}

/** What no injected markup could get around: no network, and no script but ours. */
const POLICY = `default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-${createHash("sha256").update(SCRIPT).digest("base64")}'`;

const SECTIONS = [
  ["completeness", "What was captured"],
  ["usage", "Expert usage"],
  ["balance", "Layer by layer"],
  ["labels", "Specialization"],
  ["tokens", "What the experts like"],
  ["classes", "Kinds of token"],
  ["drift", "Drift"],
  ["texts", "Entropy along the text"],
  ["company", "Who works with whom"],
  ["hidden", "Hidden states"],
  ["words", "Words"],
] as const;

/**
 * An analysis as one HTML file that needs nothing else: no network, no server. It is to be shown to others, printed or
 * read on a phone. Its size is bounded: large models show a part of the layers where it says so.
 *
 * @returns the document's text.
 * @example
 * const analysis = await analyzeCapture(await openCapture("run1"));
 * await writeFile("report.html", reportHtml(analysis));
 */
export function reportHtml(
  analysis: CaptureAnalysis,
  { title = analysis.model.name }: ReportOptions = {},
): string {
  const dense = analysis.layers.length === 0;
  const name = safeText(title);
  const sections = dense
    ? [html`<p>This capture has no routing: a dense model has no experts.</p>`]
    : [
        usage(analysis),
        balance(analysis),
        specialization(analysis),
        tastes(analysis),
        tokenClasses(analysis),
        drift(analysis),
        texts(analysis),
        company(analysis),
        hiddenStates(analysis),
        words(),
      ];
  const body = html`${completeness(analysis)}${sections}`;
  const links = SECTIONS.filter(([id]) => body.html.includes(`id="${id}"`));
  return html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width,initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${trusted(POLICY)}">
<title>${name}: expert routing</title><style>${trusted(STYLE)}</style></head>
<body><header><div class="top"><h1>${name}</h1><button id="theme" type="button" aria-label="Switch between light and dark" hidden></button></div>
${subtitle(analysis)}${facts(analysis)}
<nav aria-label="Sections">${links.map(([id, text]) => html`<a href="#${id}">${text}</a>`)}</nav></header>
<main>${body}</main>
<footer>Made by moescope ${packageVersion} from ${analysis.completeness.rows} tokens; permutations ${analysis.settings.permutations}, seed ${analysis.settings.seed}.</footer>
<script>${trusted(SCRIPT)}</script></body></html>
`.html;
}
