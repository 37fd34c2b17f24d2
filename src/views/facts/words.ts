import type { Term } from "../../analysis/measures/measure.ts";
import { allMeasures } from "../../analysis/measures/registry.ts";
import { type Parsed, schema } from "../../core/schema.ts";

/** Words of views that no measure of the registry brings. */
const OTHER_TERMS: Readonly<Record<string, Term>> = {
  router: {
    title: "Router logits",
    text: "What a layer's router (a linear map from the hidden state to one number per expert) says before softmax, sigmoid or any bias.",
    formula: "logits = W · hidden",
    source: "Shazeer et al., arXiv:1701.06538",
  },
  top_weight: {
    title: "Top weight",
    text: "The weight of the expert that counts most for a token: what its output is multiplied with before the outputs are added up.",
  },
  similarity: {
    title: "Similarity",
    text: "How far two experts serve the same tokens: 1, exactly the same; 0, as many in common as chance gives; below 0, they avoid each other's tokens. The correlation of “used a” and “used b” over all tokens.",
    formula: "φ = (n n(a and b) − n(a) n(b)) / √(n(a) (n − n(a)) n(b) (n − n(b)))",
    source: "Yule, J. R. Stat. Soc. 75, 1912",
  },
  agreement: {
    title: "Agreement",
    text: "Part of the tokens that used exactly the same set of experts in both.",
  },
  overlap: {
    title: "Overlap",
    text: "Part of a token's experts that both chose, on average.",
    formula: "|A ∩ B| / top-k",
  },
  js: {
    title: "Jensen-Shannon divergence",
    unit: "nats",
    text: "How far apart two routers' probabilities are: 0 is the same, ln 2 (0.693 nats) has nothing in common.",
    formula: "½ KL(p‖m) + ½ KL(q‖m),  m = (p + q) / 2",
    source: "Lin, IEEE Trans. Inf. Theory 37, 1991",
  },
  atlas: {
    title: "Atlas",
    formula: "first two principal components of √(share of each label, adding up to 1)",
    source: "Legendre and Gallagher, Oecologia 129, 2001",
    text: "Experts near each other serve a similar mix of labels (or kinds of tokens). A corner is where an expert that serves this label alone would be. The plane shows the two directions in which experts differ most.",
  },
};

/** The measures and all words, for tooltips and glossaries: what the server answers. */
export const wordsFacts = schema((z) => {
  const term = z.strictObject({
    title: z.string(),
    unit: z.string().optional(),
    text: z.string(),
    formula: z.string().optional(),
    source: z.string().optional(),
  });
  return z
    .strictObject({
      measures: z.array(
        z.strictObject({
          name: z.string().meta({ description: "the key of its results in an analysis" }),
          scope: z.enum(["layer", "capture", "layers", "derived"]),
          cost: z.enum(["count", "test", "read"]),
          title: z.string(),
          text: z.string(),
          uncertainty: z.string().meta({ description: "how its result says how sure it is" }),
          terms: z.array(z.string()).meta({ description: "keys of the terms that it brings" }),
        }),
      ),
      terms: z.record(z.string(), term),
    })
    .meta({ id: "Words" });
});
export type WordsFacts = Parsed<typeof wordsFacts>;

export const allWords = (): WordsFacts => ({
  measures: allMeasures.map(({ name, scope, cost, words: { title, text, uncertainty, terms } }) => ({
    name,
    scope,
    cost,
    title,
    text,
    uncertainty,
    terms: Object.keys(terms),
  })),
  terms: Object.assign({}, OTHER_TERMS, ...allMeasures.map(({ words }) => words.terms)),
});
