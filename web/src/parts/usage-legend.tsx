import type { ComponentChildren } from "preact";
import type { ColourScale } from "../colour/palette.ts";
import { RampLegend } from "./legend.tsx";
import { Term } from "./term.tsx";

export interface UsageLegendProps {
  readonly scale: ColourScale;
  /** Default: the word, which explains itself on hover. */
  readonly title?: ComponentChildren;
}

/** The legend of every map of usage: against fair share, and what is never used. */
export function UsageLegend({ scale, title = <Term name="usage">Usage</Term> }: UsageLegendProps) {
  return (
    <RampLegend
      scale={scale}
      title={title}
      unit="× fair share"
      open
      mark={{ value: 1, text: "fair" }}
      zero="never used"
    />
  );
}
