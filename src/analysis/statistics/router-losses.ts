/** What the two losses of a router follow from, over some rows; those of several layers or runs add up. */
export interface RouterLossSums {
  /** Rows whose logits have a finite log-sum-exp. */
  readonly rows: number;
  /** By expert the sum of its probability. */
  readonly probabilities: ArrayLike<number>;
  /** By expert the rows that have it among those chosen. */
  readonly chosen: ArrayLike<number>;
  /** Sum of the squared log-sum-exp of a row's logits. */
  readonly squaredLogZ: number;
}

/**
 * The auxiliary load-balancing loss: E Σ f(e) P(e), f(e) the part of the rows that have expert e among their k, P(e) its
 * mean probability. k where all experts are alike, E where one has everything of each choice.
 *
 * Source: Fedus, Zoph and Shazeer, "Switch Transformers" (arXiv:2101.03961), equations 4 to 6, for k = 1; for any k
 * `load_balancing_loss_func` of Hugging Face transformers, which sums f over the k choices and takes the rows of all layers
 * together. Padding does not count there where a mask is given, and a capture has none.
 *
 * @param layers one, or several with the same experts.
 * @returns NaN without rows.
 */
export function loadBalancingLoss(layers: readonly RouterLossSums[]): number {
  const rows = layers.reduce((sum, layer) => sum + layer.rows, 0);
  const experts = layers[0]?.probabilities.length ?? 0;
  const total = (of: (layer: RouterLossSums) => ArrayLike<number>, expert: number) =>
    layers.reduce((sum, layer) => sum + of(layer)[expert]!, 0);
  let loss = 0;
  for (let e = 0; e < experts; e++)
    loss +=
      (total(({ chosen }) => chosen, e) / rows) * (total(({ probabilities }) => probabilities, e) / rows);
  return experts * loss;
}

/**
 * The router z-loss: mean of (log Σ exp logit)² over rows and layers. It keeps logits small.
 *
 * Source: Zoph et al., "ST-MoE" (arXiv:2202.08906), equation 5; `router_z_loss_func` of Hugging Face transformers.
 *
 * @returns NaN without rows.
 */
export function routerZLoss(layers: readonly RouterLossSums[]): number {
  const rows = layers.reduce((sum, layer) => sum + layer.rows, 0);
  return layers.reduce((sum, { squaredLogZ }) => sum + squaredLogZ, 0) / rows;
}
