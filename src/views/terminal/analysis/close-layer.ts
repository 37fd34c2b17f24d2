import type { GroupUsage } from "../../../analysis/measures/tallies/group-usage.ts";
import type { LayerAnalysis } from "../../facts/analysis.ts";

/** The layer that is shown closely, and what makes it telling. */
export interface CloseLayer {
  readonly layer: LayerAnalysis;
  readonly why: string;
}

/**
 * The layer whose experts tell most of the texts' labels beyond chance; without labels most of the token's class;
 * without either the middle one. `null` when there is none.
 */
export function closeLayer(layers: readonly LayerAnalysis[]): CloseLayer | null {
  const [first] = layers;
  if (!first) return null;
  if (first.specialization)
    return { layer: most(layers, (of) => of.specialization), why: "which tells most of the label" };
  if (first.tokenClasses)
    return { layer: most(layers, (of) => of.tokenClasses), why: "which tells most of the token class" };
  return { layer: layers[layers.length >> 1]!, why: "the middle one" };
}

function most(layers: readonly LayerAnalysis[], of: (layer: LayerAnalysis) => GroupUsage | null) {
  const beyondChance = (layer: LayerAnalysis) => {
    const found = of(layer);
    return found ? found.mutualInformation - found.chanceInformation : -Infinity;
  };
  return layers.reduce((best, next) => (beyondChance(next) > beyondChance(best) ? next : best));
}
