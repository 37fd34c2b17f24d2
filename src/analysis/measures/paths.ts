import type { Capture } from "../../capture/capture.ts";
import type { RoutingPaths } from "../capture-analysis.ts";
import { chosenRows, rowChunks } from "../scan/chosen.ts";
import { FrequentItems } from "../statistics/frequent-items.ts";

/** Layers of a path: through more, hardly two tokens of a large model take the same. */
const MAX_LAYERS = 6;
const MAX_PATHS = 20;
/** Tokens named for a path. */
const MAX_TOKENS = 3;
/** Paths counted at a time, about 4 MB: all that more than one row in 65 537 takes. */
const CAPACITY = 0x10000;

/** Neighbouring layers in pieces of about equal length, as paths are followed through them. */
export function pathSegments(layers: readonly number[], experts: number): number[][] {
  // A path is one whole number to the base of the experts, and must stay exact.
  const most = Math.min(MAX_LAYERS, Math.floor(53 / Math.max(1, Math.log2(experts))));
  const pieces = Math.ceil(layers.length / most);
  return Array.from({ length: pieces }, (_, i) =>
    layers.slice(Math.round((i * layers.length) / pieces), Math.round(((i + 1) * layers.length) / pieces)),
  ).filter(({ length }) => length > 1);
}

/** The sequences of best experts that most rows take through some layers. */
export function routingPaths(capture: Capture, layers: readonly number[]): RoutingPaths {
  const { experts } = capture.model.moe!;
  const { length: rows, tokenId } = capture.rows;
  const frequent = new FrequentItems(CAPACITY);
  forEachPath(capture, layers, (path) => frequent.add(path));

  const counts = new Map(frequent.candidates().map((path) => [path, 0]));
  const used = layers.map(() => new Float64Array(experts));
  forEachPath(capture, layers, (path) => {
    const count = counts.get(path);
    if (count !== undefined) counts.set(path, count + 1);
    let rest = path;
    for (const ofLayer of used) {
      const next = Math.floor(rest / experts);
      ofLayer[rest - next * experts]!++;
      rest = next;
    }
  });
  const top = [...counts].sort(([a, n], [b, m]) => m - n || a - b).slice(0, MAX_PATHS);

  const tokens = new Map(top.map(([path]) => [path, new Map<number, number>()]));
  forEachPath(capture, layers, (path, row) => {
    const of = tokens.get(path);
    of?.set(tokenId[row]!, (of.get(tokenId[row]!) ?? 0) + 1);
  });
  return {
    layers,
    rows,
    top: top.map(([path, count]) => {
      const taken = expertsOf(path, layers.length, experts);
      const independent = taken.reduce((product, expert, i) => (product * used[i]![expert]!) / rows, 1);
      return {
        experts: taken,
        count,
        share: count / rows,
        lift: count / rows / independent,
        tokens: [...tokens.get(path)!]
          .sort(([a, n], [b, m]) => m - n || a - b)
          .slice(0, MAX_TOKENS)
          .map(([id, n]) => ({ text: capture.tokenText(id), count: n })),
      };
    }),
  };
}

/** Each row's best experts as one number, the first layer's in the lowest place. */
function forEachPath(
  capture: Capture,
  layers: readonly number[],
  visit: (path: number, row: number) => void,
): void {
  const { experts } = capture.model.moe!;
  for (const [from, to] of rowChunks(capture.rows.length)) {
    const paths = new Float64Array(to - from);
    layers.forEach((layer, place) => {
      const { ids } = chosenRows(capture, layer, from, to);
      const topK = ids.length / paths.length;
      const unit = experts ** place;
      for (let row = 0; row < paths.length; row++) paths[row]! += ids[row * topK]! * unit;
    });
    for (let row = 0; row < paths.length; row++) visit(paths[row]!, from + row);
  }
}

function expertsOf(path: number, layers: number, experts: number): number[] {
  const taken: number[] = [];
  for (let i = 0; i < layers; i++) {
    taken.push(path % experts);
    path = Math.floor(path / experts);
  }
  return taken;
}
