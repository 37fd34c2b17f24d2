import { seededRandom } from "./randomization/random.ts";

/** Resamples of texts. */
const RESAMPLES = 100;

/**
 * How much more each group uses each expert than the other groups do, in resamples of the texts: units are drawn with
 * replacement within their group.
 *
 * @param counts `[units, experts]`: rows that used the expert.
 * @param rows of each unit.
 * @returns `[groups, RESAMPLES, experts]`: share of the group less that of the others. The same seed draws the same
 *   units whatever the layer.
 */
export function resampledDifferences(
  counts: Float64Array,
  rows: Float64Array,
  groupOf: Int32Array,
  groups: number,
  experts: number,
  seed: number,
): Float32Array {
  const random = seededRandom(seed);
  const members = Array.from({ length: groups }, (_, g) =>
    [...groupOf.keys()].filter((unit) => groupOf[unit] === g),
  );
  const out = new Float32Array(groups * RESAMPLES * experts);
  const used = new Float64Array(groups * experts);
  const all = new Float64Array(experts);
  const size = new Float64Array(groups);
  for (let resample = 0; resample < RESAMPLES; resample++) {
    used.fill(0);
    size.fill(0);
    all.fill(0);
    members.forEach((units, g) => {
      for (let draw = 0; draw < units.length; draw++) {
        const unit = units[Math.floor(random() * units.length)]!;
        size[g]! += rows[unit]!;
        for (let e = 0; e < experts; e++) used[g * experts + e]! += counts[unit * experts + e]!;
      }
    });
    for (let i = 0; i < used.length; i++) all[i % experts]! += used[i]!;
    const total = size.reduce((sum, n) => sum + n, 0);
    for (let g = 0; g < groups; g++)
      for (let e = 0, at = (g * RESAMPLES + resample) * experts; e < experts; e++, at++) {
        const own = used[g * experts + e]!;
        out[at] = own / size[g]! - (all[e]! - own) / (total - size[g]!);
      }
  }
  return out;
}

/**
 * Stability selection: the part of the resamples in which an expert is among the `top` of the whole model by its
 * difference. What is chosen in nearly all does not hang on a few texts.
 *
 * Source: Meinshausen and Bühlmann, "Stability selection", J. R. Stat. Soc. B 72 (2010); for experts SAFEx (Lai et al.,
 * arXiv:2506.17368), which resamples texts and keeps the experts that stay in front.
 *
 * @param layers `[groups, RESAMPLES, experts]` each, of the same resamples.
 * @returns for each layer `[groups, experts]`.
 */
export function stabilities(layers: readonly Float32Array[], groups: number, top: number): Float64Array[] {
  const widths = layers.map(({ length }) => length / groups / RESAMPLES);
  const found = widths.map((experts) => new Float64Array(groups * experts));
  const all = new Float32Array(widths.reduce((sum, experts) => sum + experts, 0));
  for (let g = 0; g < groups; g++)
    for (let resample = 0; resample < RESAMPLES; resample++) {
      let at = 0;
      const block = (layer: number) => {
        const from = (g * RESAMPLES + resample) * widths[layer]!;
        return layers[layer]!.subarray(from, from + widths[layer]!);
      };
      layers.forEach((_, layer) => {
        all.set(block(layer), at);
        at += widths[layer]!;
      });
      all.sort();
      // Only what is above the others may be chosen.
      const least = Math.max(all[Math.max(0, all.length - top)]!, Number.MIN_VALUE);
      layers.forEach((_, layer) => {
        block(layer).forEach((value, e) => {
          if (value >= least) found[layer]![g * widths[layer]! + e]!++;
        });
      });
    }
  return found.map((hits) => hits.map((of) => of / RESAMPLES));
}
