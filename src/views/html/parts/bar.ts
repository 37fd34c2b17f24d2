import { type Html, html } from "./html.ts";

/** A part of 1 as a bar beside its number. */
export const bar = (part: number): Html =>
  html`<span class="bar" aria-hidden="true"><i style="width:${(100 * Math.min(1, part || 0)).toFixed(1)}%"></i></span>`;
