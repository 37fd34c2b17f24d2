import type { ExpertSimilarity } from "../../analysis/expert-similarity.ts";
import { type Parsed, schema } from "../../core/schema.ts";
import { finite } from "./finite.ts";

/** How far the experts of all layers serve the tokens that one serves: what the server answers. */
export const similarityFacts = schema((z) => {
  const count = z.int().nonnegative();
  return z
    .strictObject({
      rows: count,
      used: count.meta({ description: "rows that used the expert" }),
      layers: z.array(
        z.strictObject({
          layer: count,
          counts: z.array(count).meta({ description: "by expert: rows that used it" }),
          shared: z.array(count).meta({ description: "by expert: rows that used both" }),
          phi: z.array(z.number().nullable()).meta({
            description:
              "by expert: correlation of the two being used, -1 to 1; null where it is not defined",
          }),
        }),
      ),
    })
    .meta({ id: "Similarity" });
});
export type SimilarityFacts = Parsed<typeof similarityFacts>;

export const similarityOf = ({ layers, ...found }: ExpertSimilarity): SimilarityFacts => ({
  ...found,
  layers: layers.map(({ layer, counts, shared, phi }) => ({
    layer,
    counts: [...counts],
    shared: [...shared],
    phi: Array.from(phi, finite),
  })),
});
