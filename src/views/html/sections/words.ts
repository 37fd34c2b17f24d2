import { allMeasures } from "../../../analysis/measures/registry.ts";
import { type Html, html } from "../parts/html.ts";

/** The measures' terms, with their formulas and where they come from. */
export const words = (): Html =>
  html`<h2 id="words">Words</h2><dl class="terms">${allMeasures
    .flatMap((measure) => Object.values(measure.words.terms))
    .map(
      ({ title, unit, text, formula, source }) =>
        html`<dt>${title}${unit !== undefined && `, ${unit}`}</dt><dd>${text}${formula !== undefined && html` <code>${formula}</code>`}${source !== undefined && html` (${source})`}</dd>`,
    )}</dl>`;
