/** An expert's name, the same everywhere. */
export const ExpertName = ({
  layer,
  expert,
  short = false,
}: {
  readonly layer: number;
  readonly expert: number;
  readonly short?: boolean;
}) => <span class="expert-name">{short ? `L${layer} E${expert}` : `Layer ${layer}, expert ${expert}`}</span>;
