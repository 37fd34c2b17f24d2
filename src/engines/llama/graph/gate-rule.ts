import type { Gating } from "../../../core/gating.ts";
import type { TensorPointer } from "../native/pointers.ts";
import { behindViews, type GraphNode, isLeaf, weightAt } from "./graph.ts";
import type { MoePass } from "./moe-pass.ts";
import { must, type Proof, prove } from "./proof.ts";

/** The gating rule of a pass, as its operations compute it. */
export interface GateRule {
  readonly gating: Gating;
  /** The learned bias of the choice, `[experts]`, f32; `null`: it has none. */
  readonly bias: TensorPointer | null;
}

/**
 * Read the rule off the operations between a router's logits and the weights: the score function, what is ranked, how
 * the weights come of the scores.
 *
 * `refused`: something that no rule here describes. The pass is what it is all the same.
 */
export function gateRule(pass: MoePass): Proof<GateRule> {
  return prove(() => {
    const weighing = weighingOf(pass);
    const score = scoreOf(pass, weighing.softmax);
    const { bias, ...choice } = choiceOf(pass);
    const { normalize, scale } = weighing;
    return {
      gating: {
        score,
        chosenBy: choice.chosenBy,
        normalize,
        scale,
        selectionBias: bias !== null,
        groups: choice.groups,
        weighted: pass.weighted,
      },
      bias,
    };
  });
}

/** Operations that leave values as they are: other shapes, memory of their own, the rows that are needed. */
const SAME_VALUES = new Set(["RESHAPE", "VIEW", "CONT", "GET_ROWS"]);

const computing = (nodes: readonly GraphNode[]) => nodes.filter(({ op }) => !SAME_VALUES.has(op));
const opsOf = (nodes: readonly GraphNode[]) => nodes.map(({ op }) => op).join(" ");

/** By the operations from logits to scores. */
const SCORES: Readonly<Record<string, Gating["score"]>> = {
  SOFT_MAX: "softmax",
  SIGMOID: "sigmoid",
  "SOFTPLUS SQRT": "sqrt_softplus",
};

function scoreOf({ scoring }: MoePass, softmaxOfChosen: boolean): Gating["score"] {
  const nodes = computing(scoring);
  for (const node of nodes) mustBePlainSoftmax(node);
  if (nodes.length === 0) {
    must(softmaxOfChosen, () => "its weights are the router's logits themselves");
    return "softmax_topk";
  }
  must(!softmaxOfChosen, () => `a softmax is taken of the chosen scores, which come of ${opsOf(nodes)}`);
  const score = SCORES[opsOf(nodes)];
  must(score !== undefined, () => `its scores come of ${opsOf(nodes)}, which is no known rule`);
  return score;
}

/** Without a mask, sinks or another temperature. */
function mustBePlainSoftmax(node: GraphNode): void {
  must(
    node.op !== "SOFT_MAX" || (node.sources.length === 1 && node.floatParameter(0) === 1),
    () => "its softmax has a mask or a temperature",
  );
}

/** `build_moe_ffn` keeps the sum from being 0 with this; `weighRow` as well. */
const LEAST_SUM = 6.103515625e-5;

/** From the scores of the chosen to their weights: a softmax, or a division by their sum, then a factor. */
function weighingOf({ weighing }: MoePass): { softmax: boolean; normalize: boolean; scale: number } {
  const nodes = computing(weighing);
  const match = WEIGHING.exec(opsOf(nodes));
  must(match !== null, () => `its weights come of ${opsOf(nodes)}, which is no known rule`);
  const [, softmax, divided, scaled] = match;
  const the = (op: string) => nodes.find((node) => node.op === op)!;
  if (softmax) mustBePlainSoftmax(the("SOFT_MAX"));
  must(
    !divided || the("CLAMP").floatParameter(0) === LEAST_SUM,
    () => "the sum its weights are divided by is kept above another number than is known",
  );
  if (scaled) must(the("SCALE").floatParameter(1) === 0, () => "something is added to its weights");
  return {
    softmax: Boolean(softmax),
    normalize: Boolean(divided),
    scale: scaled ? the("SCALE").floatParameter(0) : 1,
  };
}

const WEIGHING = /^(SOFT_MAX)? ?(SUM_ROWS CLAMP DIV)? ?(SCALE)?$/;

const BIAS = /^exp_probs_b(?:\.bias)?$/;

interface Choice extends Pick<Gating, "chosenBy" | "groups"> {
  readonly bias: TensorPointer | null;
}

/** Back from what is sorted: the mask of groups, the bias, then scores or logits. */
function choiceOf(pass: MoePass): Choice {
  const { logits, probs, selection, layer } = pass;
  if (selection === null) return { chosenBy: "token_id", groups: null, bias: null };
  const left = new Set(computing(pass.choosing));
  const masked = maskOf(selection);
  if (masked) for (const node of masked.nodes) left.delete(node);
  let at = sameValues(masked ? masked.of : selection);
  let bias: TensorPointer | null = null;
  if (at.op === "ADD" && left.delete(at)) {
    const weight = weightAt(at, 1);
    must(
      weight !== null && BIAS.test(weight.part) && weight.layer === layer,
      () => `what its experts are chosen by is added to: ${weight?.part ?? "no weight of the model"}`,
    );
    bias = behindViews(at.sources[1]!).address;
    at = sameValues(at.sources[0]!);
  }
  const chosenBy = rankedOf(at, left, logits, probs);
  must(
    left.size === 0,
    () => `its experts are chosen by ${opsOf([...left])} of its scores, which is no known rule`,
  );
  must(
    bias === null || chosenBy === "scores",
    () => "a bias is added to something else than its scores before experts are chosen",
  );
  return { chosenBy, groups: masked?.groups ?? null, bias };
}

/**
 * What a layer's choice of experts begins with: the scores that are ranked, with their bias, before groups are masked.
 * `null`: its experts are looked up by token.
 */
export function choiceStart({ selection }: MoePass): GraphNode | null {
  if (selection === null) return null;
  return sameValues(maskOf(selection)?.of ?? selection);
}

function rankedOf(
  at: GraphNode,
  left: Set<GraphNode>,
  logits: GraphNode,
  probs: GraphNode,
): "scores" | "logits" | "sigmoid" {
  if (at === sameValues(probs)) return "scores";
  if (at === sameValues(logits)) return "logits";
  const sigmoid = at.op === "SIGMOID" && sameValues(at.sources[0]!) === sameValues(logits) && left.delete(at);
  must(sigmoid, () => `its experts are chosen by the outcome of ${at.op}, which is no known rule`);
  return "sigmoid";
}

/** The node that computes the values of another, which are the same in another shape or some rows of them. */
function sameValues(node: GraphNode): GraphNode {
  let at = node;
  while (SAME_VALUES.has(at.op)) at = at.sources[0]!;
  return at;
}

interface Mask {
  readonly groups: NonNullable<Gating["groups"]>;
  /** What it masks. */
  readonly of: GraphNode;
  /** The operations that compute it. */
  readonly nodes: readonly GraphNode[];
}

/**
 * All groups but the best ones set to -Infinity; `null`: nothing is masked. A group is as good as its best experts
 * together. The operations are those that `build_moe_ffn` has for it, each reading the one before.
 */
function maskOf(selection: GraphNode): Mask | null {
  const set = behindReshapes(selection);
  if (set.op !== "SET_ROWS") return null;
  const known = (ok: boolean) =>
    must(ok, () => "the groups of experts it chooses from are told in another way than is known");
  const [kept, best, filled] = set.sources as [GraphNode, GraphNode, GraphNode];
  known(filled.op === "FILL" && filled.floatParameter(0) === Number.NEGATIVE_INFINITY);
  const grouped = filled.sources[0]!;
  known(kept.op === "GET_ROWS" && kept.sources[0] === grouped && kept.sources[1] === best);
  const sorted = behindViews(best);
  known(isFallingSort(sorted) && best.viewOffset === 0);
  const sums = behindReshapes(sorted.sources[0]!);
  known(sums.op === "SUM_ROWS");
  const two = behindReshapes(sums.sources[0]!);
  known(two.op === "GET_ROWS" && behindReshapes(two.sources[0]!) === behindReshapes(grouped));
  const first = two.sources[1]!;
  const inGroup = behindViews(first);
  known(isFallingSort(inGroup) && inGroup.sources[0] === grouped && first.viewOffset === 0);
  return {
    groups: { count: grouped.shape[1]!, used: best.shape[0]!, best: first.shape[0]! },
    of: grouped,
    nodes: [set, filled, sorted, sums, inGroup].filter((node) => !isLeaf(node)),
  };
}

const isFallingSort = ({ op, parameter }: GraphNode) => op === "ARGSORT" && parameter === 1;

function behindReshapes(node: GraphNode): GraphNode {
  let at = node;
  while (at.op === "RESHAPE") at = at.sources[0]!;
  return at;
}
