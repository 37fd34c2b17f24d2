import { argument, number, optionsReader, thing } from "../core/options.ts";
import { farthestFirst, type SpecializedExpert } from "./measures/specialized-experts.ts";
import type { Specialization } from "./specialization.ts";

/** How sure {@link specializedExperts} has to be. */
export interface SpecializedExpertsOptions {
  /** Accepted chance that any of them is false. Default 0.05. */
  readonly alpha?: number;
}

const readOptions = optionsReader<SpecializedExpertsOptions>("specializedExperts", {
  alpha: number("from 0 to 1", (value) => value >= 0 && value <= 1),
});

const isSpecialization = thing<Specialization>(
  "what specialization() gives",
  (value) => "fairShare" in value && (value as Specialization).layers instanceof Map,
);

/**
 * The (layer, expert, label) that specialise: the label uses the expert more than the other labels do, with a q-value of at
 * most `alpha`. The farthest above come first. A share below the fair one may be among them: an expert that serves a
 * twentieth of one label and nothing of the others.
 *
 * @throws RequestError `INVALID_ARGUMENT` for a wrong argument.
 * @example
 * import { specialization, specializedExperts } from "moescope/analysis";
 * for (const { layer, expert, label, share, pValue } of specializedExperts(specialization(capture)).slice(0, 5))
 *   console.log(`L${layer} E${expert} serves ${(100 * share).toFixed(0)} % of ${label} (p = ${pValue})`);
 */
export function specializedExperts(
  found: Specialization,
  options: SpecializedExpertsOptions = {},
): SpecializedExpert[] {
  const { fairShare, layers } = argument("specializedExperts", "the first argument", found, isSpecialization);
  const { alpha = 0.05 } = readOptions(options);
  return [...layers]
    .flatMap(([layer, { experts }]) =>
      experts.flatMap(({ expert, byLabel }) =>
        Array.from(byLabel, ([label, of]) => ({
          layer,
          expert,
          label,
          timesFair: of.share / fairShare,
          ...of,
        })),
      ),
    )
    .filter(({ difference, qValue }) => difference > 0 && qValue <= alpha)
    .sort(farthestFirst);
}
