import { compareCaptures } from "../../src/analysis/compare/compare-captures.ts";
import { compareLabels } from "../../src/analysis/compare/compare-labels.ts";
import type { UsageShift } from "../../src/analysis/compare/usage-shift.ts";
import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";
import type { Capture } from "../../src/capture/capture.ts";
import { concatArrays } from "../../src/core/concat-arrays.ts";
import { captureOf } from "../../tests/analysis/synthetic.ts";
import { drawText, gauss, popularity } from "./texts.ts";

export interface Shifted {
  readonly layers: number;
  readonly experts: number;
  readonly topK: number;
  /** Texts of each side: of two captures the same ones, of two labels others. */
  readonly texts: number;
  /** Rows of a text: so many, or up to twice as many. */
  readonly rows: number;
  /** Experts of B that take part of the rows from the others; 0: nothing differs. */
  readonly planted: number;
  /** The part of B's rows that a planted expert takes. */
  readonly part: number;
}

export interface ShiftsFound {
  /** Planted experts with more use at q <= 0.05. */
  readonly found: number;
  /** Others with more use at q <= 0.05; where nothing is planted, all at q <= 0.05. */
  readonly false: number;
}

const TOPIC = 0.5;
const STICK = 0.5;

/**
 * Two captures of the same texts. Where nothing is planted each text still has rows of its own kind in A and in B, as
 * the two drift apart or come together text by text, in no direction that texts share.
 */
export function captureShifts(of: Shifted, permutations: number, seed: number): ShiftsFound {
  const random = seededRandom(seed);
  const lengths = lengthsOf(of.texts, of.rows, random);
  const layers = Array.from({ length: of.layers }, (_, layer) => {
    const base = popularity(of.experts, random);
    const [a, b] = [[] as Uint16Array[], [] as Uint16Array[]];
    for (const length of lengths) {
      const lean = base.map(() => 0.4 * gauss(random));
      const routing = { ...of, topic: 0, stick: STICK };
      const topic = base.map((value) => value + TOPIC * gauss(random));
      a.push(
        drawText(
          topic.map((value, e) => value + lean[e]!),
          length,
          routing,
          random,
        ),
      );
      b.push(
        drawText(
          topic.map((value, e) => value - lean[e]!),
          length,
          routing,
          random,
        ),
      );
    }
    for (const ids of b) plant(ids, of, layer, random);
    return { a: concatArrays(Uint16Array, a), b: concatArrays(Uint16Array, b) };
  });
  const captures = [layers.map(({ a }) => a), layers.map(({ b }) => b)].map((parts) =>
    captureWith(
      parts,
      of,
      lengths,
      lengths.map(() => null),
    ),
  );
  const { layers: found } = compareCaptures(captures[0]!, captures[1]!, { permutations, seed });
  return foundOf(found, of);
}

/** Two labels of one capture, whose texts have topics of their own. */
export function labelShifts(of: Shifted, permutations: number, seed: number): ShiftsFound {
  const random = seededRandom(seed);
  const lengths = lengthsOf(2 * of.texts, of.rows, random);
  const labels = lengths.map((_, i) => (i < of.texts ? "a" : "b"));
  const parts = Array.from({ length: of.layers }, (_, layer) => {
    const base = popularity(of.experts, random);
    const texts = lengths.map((length) =>
      drawText(base, length, { ...of, topic: TOPIC, stick: STICK }, random),
    );
    for (const ids of texts.slice(of.texts)) plant(ids, of, layer, random);
    return concatArrays(Uint16Array, texts);
  });
  const { layers: found } = compareLabels(captureWith(parts, of, lengths, labels), "a", "b", {
    permutations,
    seed,
  });
  return foundOf(found, of);
}

const plantedIn = ({ planted, layers }: Shifted, layer: number) =>
  Array.from({ length: planted }, (_, expert) => expert).filter((expert) => expert % layers === layer);

/** Planted experts take the place of a row's last one. */
function plant(ids: Uint16Array, of: Shifted, layer: number, random: () => number): void {
  for (const expert of plantedIn(of, layer))
    for (let at = 0; at < ids.length; at += of.topK)
      if (random() < of.part && !ids.subarray(at, at + of.topK).includes(expert))
        ids[at + of.topK - 1] = expert;
}

const lengthsOf = (texts: number, rows: number, random: () => number) =>
  Array.from({ length: texts }, () => rows + Math.floor(rows * random()));

function captureWith(
  parts: readonly Uint16Array[],
  { experts, topK }: Shifted,
  lengths: readonly number[],
  labels: readonly (string | null)[],
): Capture {
  const layers = [...parts.keys()];
  return captureOf({
    experts,
    topK,
    labels,
    lengths,
    layers,
    streams: { expert_ids: concatArrays(Uint16Array, parts) },
  });
}

function foundOf(
  layers: ReadonlyMap<number, { readonly experts: readonly UsageShift[] }>,
  of: Shifted,
): ShiftsFound {
  const more = [...layers].flatMap(([layer, { experts }]) =>
    experts
      .filter(({ qValue, difference }) => qValue <= 0.05 && (difference > 0 || of.planted === 0))
      .map(({ expert }) => plantedIn(of, layer).includes(expert)),
  );
  const found = more.filter((planted) => planted).length;
  return { found, false: more.length - found };
}
