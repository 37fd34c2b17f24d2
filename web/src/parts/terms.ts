export interface TermText {
  readonly title: string;
  readonly text: string;
  readonly formula?: string;
  readonly source?: string;
}

/** The field's words, as the explorer uses them. */
export const TERMS = {
  router: {
    title: "Router logits",
    text: "What a layer's router (a linear map from the hidden state to one number per expert) says before softmax, sigmoid or any bias.",
    formula: "logits = W · hidden",
    source: "Shazeer et al., arXiv:1701.06538",
  },
  usage: {
    title: "Usage against fair share",
    text: "Part of the tokens that used an expert, divided by what it would serve if all served alike. 1 is fair, 2 is twice its share, 0 is never.",
    formula: "(tokens that used it / tokens) / (top-k / experts)",
  },
  entropy: {
    title: "Routing entropy",
    text: "How undecided the router was for a token: 0 when one expert gets everything, ln(experts) when all are equally likely.",
    formula: "−Σ p ln p,  p = softmax(router logits), in nats",
    source: "EasySteer, MOE_CAPTURE_USAGE",
  },
  margin: {
    title: "Margin",
    text: "How clear the choice was: the lowest logit among the chosen experts minus the highest among the others. Near 0, another expert nearly served this token; below 0, a bias or group limit overrode the logits.",
    formula: "min(chosen logits) − max(other logits)",
  },
  top_weight: {
    title: "Top weight",
    text: "The weight of the expert that counts most for a token: what its output is multiplied with before the outputs are added up.",
  },
  top_expert: {
    title: "Top expert",
    text: "The expert the router ranked first for a token. The eight seen most often have a colour, the others are grey.",
  },
  weight: {
    title: "Expert weight",
    text: "What the engine multiplied an expert's output with before adding the outputs up, after normalisation and scaling.",
  },
  share: {
    title: "Share of a label",
    text: "Of the tokens in samples with this label, the part that used the expert.",
    formula: "tokens of the label that used it / tokens of the label",
  },
  qValue: {
    title: "q-value",
    text: "How likely a share this high is chance, when labels are shuffled between samples; corrected for the number of experts and labels tested. ≤ 0.05 counts as more than chance.",
    formula: "permutation test, Benjamini-Hochberg",
    source: "Benjamini and Hochberg, J. R. Stat. Soc. B 57, 1995",
  },
  information: {
    title: "Mutual information",
    text: "How much knowing that a token used this expert tells about its label, in bits. What shuffled labels give by chance is shown beside it.",
    formula: "I(expert used; label)",
  },
  cv: {
    title: "Load imbalance (CV)",
    text: "Coefficient of variation of the experts' load: 0 is even. Above 1, the spread is larger than the mean.",
    formula: "standard deviation / mean",
    source: "EasySteer, analyze_expert_usage",
  },
  maxVio: {
    title: "MaxVio",
    text: "How far the busiest expert is above the mean load: 0 is even, 1 is twice the mean.",
    formula: "(max load − mean load) / mean load",
    source: "Wang et al., arXiv:2408.15664",
  },
  evenness: {
    title: "Evenness",
    text: "Entropy of the load over its greatest possible value: 1 is even, 0 is a single expert.",
    formula: "−Σ p ln p / ln(experts),  p = load / total load",
    source: "Pielou, J. Theoret. Biol. 13, 1966",
  },
  dead: {
    title: "Dead expert",
    text: "No token of these rows chose it. Few rows leave experts unused by chance; a capture says so where the rows suffice.",
  },
  fairShare: {
    title: "Fair share",
    text: "What each expert would serve if all served alike.",
    formula: "top-k / experts",
  },
  lift: {
    title: "Lift",
    text: "How often two experts serve the same token, against chance. Shown relative to what pairs have on average, because a token's experts always differ: above 1, they seek each other's company.",
    formula: "P(a and b) / (P(a) P(b)) / average over pairs",
    source: "Brin et al., SIGMOD 1997",
  },
  flow: {
    title: "Flow",
    text: "How often a token that used one expert goes on to another in the next MoE layer, against chance.",
    formula: "P(a in this layer and b in the next) / (P(a) P(b))",
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
} as const satisfies Record<string, TermText>;

export type TermName = keyof typeof TERMS;
