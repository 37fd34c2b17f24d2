import { type Html, html } from "./html.ts";

/** The terms, with their formulas and where they come from. */
const WORDS: readonly (readonly [string, string])[] = [
  ["fair share", "top-k / experts: the part of the tokens each expert would serve if all served alike."],
  [
    "CV",
    "Coefficient of variation of the experts' token counts: unbiased standard deviation / mean (EasySteer). 0 is even.",
  ],
  [
    "MaxVio",
    "(busiest expert's tokens − mean) / mean (Wang et al., arXiv:2408.15664). 0 is even, 1 is twice the mean.",
  ],
  ["usage entropy", "−Σ p ln p / ln(experts) of the usage (Pielou's evenness). 1 is even."],
  [
    "routing entropy",
    "−Σ p ln p of a token's softmax over the router logits, in nats: how undecided the router is.",
  ],
  ["margin", "Lowest logit of a chosen expert − highest of one not chosen: how nearly another had served."],
  [
    "label, bits",
    "Mutual information of (expert, label), less its mean under permuted labels: what the choice tells of the label.",
  ],
  [
    "class of token",
    "By the Unicode properties of its text: words by script, continuations, numbers, punctuation, line ends. It knows nothing of meaning.",
  ],
  [
    "divergence",
    "Jensen-Shannon divergence of two ways to use the experts, in nats, at most ln 2 (Lin, IEEE Trans. Inf. Theory 37, 1991).",
  ],
  [
    "linear probe",
    "Ridge classifier on standardised hidden states (Alain and Bengio, arXiv:1610.01644); scored on texts it was not fitted on.",
  ],
  [
    "p and q",
    "p: how often as much comes by chance, from labels permuted between texts, or classes and positions rotated within them. q: p corrected for the number of tests (Benjamini and Hochberg).",
  ],
  ["lift", "How many times as often as if independent: P(a and b) / (P(a) P(b))."],
  ["95 % interval", "Wilson score interval; tokens are taken as independent, so it is rather too narrow."],
];

export const words = (): Html =>
  html`<h2 id="words">Words</h2><dl class="terms">${WORDS.map(([word, meaning]) => html`<dt>${word}</dt><dd>${meaning}</dd>`)}</dl>`;
