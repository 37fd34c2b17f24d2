import type { Capture } from "../../capture/capture.ts";
import type { FlowEdge, LayerFlow } from "../capture-analysis.ts";
import { chosenRows, rowChunks } from "../scan/chosen.ts";
import { nLogN } from "../statistics/n-log-n.ts";

/** Edges listed for a pair of layers. */
const MAX_EDGES = 40;
/** Edges that independent layers would have fewer rows of are not ranked; Cochran's rule (Biometrics 10, 1954). */
const MIN_EXPECTED = 5;

/**
 * How the experts of a layer follow from those of one before it: which pairs serve the same tokens.
 *
 * Information is that of the best experts, and edges count all chosen ones: a row adds to topK x topK pairs. Holds
 * two numbers per pair of experts.
 */
export function layerFlow(capture: Capture, from: number, to: number): LayerFlow {
  const { experts } = capture.model.moe!;
  const best = new Uint32Array(experts * experts);
  const all = new Uint32Array(experts * experts);
  const usedA = new Float64Array(experts);
  const usedB = new Float64Array(experts);
  for (const [begin, end] of rowChunks(capture.rows.length)) {
    const a = chosenRows(capture, from, begin, end).ids;
    const b = chosenRows(capture, to, begin, end).ids;
    const topK = a.length / (end - begin);
    for (let row = 0; row < end - begin; row++) {
      const at = row * topK;
      best[a[at]! * experts + b[at]!]!++;
      for (let i = at; i < at + topK; i++) {
        usedA[a[i]!]!++;
        usedB[b[i]!]!++;
        for (let j = at; j < at + topK; j++) all[a[i]! * experts + b[j]!]!++;
      }
    }
  }
  const { length: rows } = capture.rows;
  return { from, to, rows, ...informationOf(best, experts, rows), edges: edgesOf(all, usedA, usedB, rows) };
}

/**
 * Mutual information of a table's rows and columns, less its bias, and the entropy of its columns, in bits.
 *
 * Source of the correction: Miller, "Note on the bias of information estimates" (1955), with the categories that occur.
 */
function informationOf(table: Uint32Array, experts: number, rows: number) {
  const a = new Float64Array(experts);
  const b = new Float64Array(experts);
  let joint = 0;
  for (let i = 0; i < experts; i++)
    for (let j = 0; j < experts; j++) {
      const n = table[i * experts + j]!;
      a[i]! += n;
      b[j]! += n;
      joint += nLogN(n);
    }
  const sum = (values: Float64Array) => values.reduce((total, n) => total + nLogN(n), 0);
  const occurring = (values: Float64Array) => values.reduce((count, n) => count + (n > 0 ? 1 : 0), 0);
  const plugIn = Math.log2(rows) + (joint - sum(a) - sum(b)) / rows;
  const bias = ((occurring(a) - 1) * (occurring(b) - 1)) / (2 * Math.LN2 * rows);
  return {
    information: rows === 0 ? 0 : Math.max(0, plugIn - bias),
    entropy: rows === 0 ? 0 : Math.max(0, Math.log2(rows) - sum(b) / rows),
  };
}

/** The pairs above independence, by what they add to the mutual information: frequent and unlikely ones first. */
function edgesOf(table: Uint32Array, usedA: Float64Array, usedB: Float64Array, rows: number): FlowEdge[] {
  const experts = usedA.length;
  const edges: FlowEdge[] = [];
  for (let a = 0; a < experts; a++)
    for (let b = 0; b < experts; b++) {
      const count = table[a * experts + b]!;
      const expected = (usedA[a]! * usedB[b]!) / rows;
      if (expected >= MIN_EXPECTED && count > expected)
        edges.push({ a, b, count, probability: count / usedA[a]!, lift: count / expected });
    }
  const told = ({ count, lift }: FlowEdge) => count * Math.log(lift);
  return edges.sort((x, y) => told(y) - told(x)).slice(0, MAX_EDGES);
}
