import { signal } from "@preact/signals";
import { numberParam, param } from "./route.ts";

/** What is chosen and shown by the address: every view reads and writes the same. */
export const chosenLayer = numberParam("layer");
export const chosenExpert = numberParam("expert");
export const chosenRow = numberParam("row");
export const filterLabel = param("label");
export const filterPhase = param("phase");
export const filterSample = numberParam("sample");
/** The other side of a comparison. */
export const otherLabel = param("blabel");
export const otherSample = numberParam("bsample");

/** What the pointer is on, in whichever view: it lights up in all of them. */
export interface Hovered {
  readonly layer?: number;
  readonly expert?: number;
  /** Index of a token's row in the capture. */
  readonly row?: number;
}
export const hovered = signal<Hovered | null>(null);
