import type { LabelShare, Specialization } from "./specialization.ts";

/** An expert that serves one label more than its fair share, and more than chance explains. */
export interface StandOut extends LabelShare {
  readonly layer: number;
  readonly expert: number;
  readonly label: string;
  /** Share of the label's rows over the fair share topK / experts; 1 is fair. */
  readonly timesFair: number;
}

/**
 * The (layer, expert, label) that stand out: above the fair share, and with a q-value of at most `alpha` that the label
 * matters. The farthest above fair come first.
 *
 * @param options.alpha accepted part of false ones among them. Default 0.05.
 * @example
 * for (const { layer, expert, label, share, pValue } of standOuts(specialization(capture)).slice(0, 5))
 *   console.log(`L${layer} E${expert} serves ${(100 * share).toFixed(0)} % of ${label} (p = ${pValue})`);
 */
export function standOuts(
  { fairShare, layers }: Specialization,
  { alpha = 0.05 }: { readonly alpha?: number } = {},
): StandOut[] {
  const found: StandOut[] = [];
  for (const [layer, { experts }] of layers)
    for (const { expert, byLabel } of experts)
      for (const [label, of] of byLabel)
        if (of.share > fairShare && of.qValue <= alpha)
          found.push({ layer, expert, label, timesFair: of.share / fairShare, ...of });
  return found.sort((a, b) => b.timesFair - a.timesFair || a.layer - b.layer || a.expert - b.expert);
}
