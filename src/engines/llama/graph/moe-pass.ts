import { append } from "../../../core/extremes.ts";
import { behindViews, type Graph, type GraphNode, isLeaf, weightAt } from "./graph.ts";
import { Levels } from "./levels.ts";
import { must, type Proof, prove } from "./proof.ts";

/**
 * One pass through the experts of a layer: router, choice, expert products, weighted sum. Every tensor in it was found
 * by going from one to the next through what operations read, so that all belong to the same pass.
 *
 * `llm_graph_context::build_moe_ffn` builds it: logits -> probs -> selection -> ids -> weights -> outputs -> sum.
 * The lists of operations are in the order of computation, views (`RESHAPE`, `VIEW`) included; they say the gating
 * rule as it is really computed.
 */
export interface MoePass {
  readonly layer: number;
  /** `exps`: the routed experts; `chexps`: GroveMoE's chunk experts, which come beside them. */
  readonly experts: "exps" | "chexps";
  /** The product with `ffn_gate_inp.weight`, `[experts, rows]`. */
  readonly router: GraphNode;
  /** The router's output: its product, or that with its linear bias (`ffn_gate_inp.bias`) added. */
  readonly logits: GraphNode;
  /** From the logits to the probabilities: `SOFT_MAX`, `SIGMOID`, `SOFTPLUS` and `SQRT`; none where these are the logits. */
  readonly scoring: readonly GraphNode[];
  /** What the weights are taken from, `[experts, rows]`; the logits themselves where softmax comes after the choice. */
  readonly probs: GraphNode;
  /**
   * From logits or probabilities to {@link selection}: `ADD` with `exp_probs_b.bias`, the masking of groups
   * (`ARGSORT`, `SUM_ROWS`, `FILL`, `SET_ROWS` ...). Not those of {@link scoring}.
   */
  readonly choosing: readonly GraphNode[];
  /** What is sorted, its largest first; `null`: the experts are looked up in a table by token (`ffn_gate_tid2eid`). */
  readonly selection: GraphNode | null;
  /** The chosen experts, `[top k, rows]`, i32, a view of what sorted them. */
  readonly ids: GraphNode;
  /** The probabilities of the chosen, `GET_ROWS`, `[1, top k, rows]`. */
  readonly gathered: GraphNode;
  /** From {@link gathered} to {@link weights}: `SOFT_MAX`, `SUM_ROWS`, `CLAMP` and `DIV`, `SCALE`. */
  readonly weighing: readonly GraphNode[];
  /** What the outputs are multiplied with, `[1, top k, rows]` or `[top k, rows]`. */
  readonly weights: GraphNode;
  /** Llama 4 multiplies the experts' inputs with the weights instead. */
  readonly weighted: "outputs" | "inputs";
  /** `[width, top k, rows]`, the experts' biases and scales included, the weights not. */
  readonly expertOutputs: GraphNode;
  /** Their sum, `[width, rows]`. */
  readonly sum: GraphNode;
}

/** The passes of a graph by layer: those of a layer's routed experts, or why they are not proven. */
export type MoePasses = ReadonlyMap<number, Proof<MoePass>>;

const EXPERT_WEIGHT = /^ffn_(gate|up|gate_up|down)_(exps|chexps)\.weight$/;

interface Product {
  readonly node: GraphNode;
  readonly layer: number;
  readonly role: string;
  readonly experts: "exps" | "chexps";
}

/**
 * Find the pass through the routed experts of each layer.
 *
 * A layer that has experts' products but no single pass is refused with words; a layer without any is not in the map.
 */
export function findMoePasses(graph: Graph, levels = new Levels(graph)): MoePasses {
  const byLayer = new Map<number, Product[]>();
  for (const node of graph.nodes("MUL_MAT_ID")) {
    const product = productOf(node);
    // Not the weight of a layer's expert: whoever reads what comes of it is refused for want of a proof.
    if (product?.experts !== "exps") continue;
    const of = byLayer.get(product.layer) ?? [];
    byLayer.set(product.layer, of);
    of.push(product);
  }
  const search = new PassSearch(levels);
  return new Map(
    [...byLayer].map(([layer, products]) => [layer, prove(() => search.passOf(layer, products))]),
  );
}

function productOf(node: GraphNode): Product | null {
  const weight = weightAt(node, 0);
  const [, role, experts] = EXPERT_WEIGHT.exec(weight?.part ?? "") ?? [];
  if (role === undefined || weight!.layer === null) return null;
  return { node, layer: weight!.layer, role, experts: experts as Product["experts"] };
}

class PassSearch {
  readonly #levels: Levels;

  constructor(levels: Levels) {
    this.#levels = levels;
  }

  passOf(layer: number, products: readonly Product[]): MoePass {
    const ids = products[0]!.node.sources[2]!;
    must(
      products.every(({ node }) => node.sources[2] === ids),
      () => "its experts are run more than once, each time for another choice",
    );
    const roles = products
      .map(({ role }) => role)
      .sort()
      .join(" ");
    must(
      ["down gate up", "down gate_up", "down up"].includes(roles),
      () => `its experts' products are ${roles}, expected one each of gate, up and down`,
    );
    const by = (role: string) => products.find((product) => product.role === role)?.node;
    const expertOutputs = this.#outputs(by("down")!, ids);
    const weighing = this.#weighing(expertOutputs, by("gate") ?? by("up") ?? by("gate_up")!);
    const { gathered, operations } = this.#gathered(weighing.weights, ids);
    const scores = this.#scores(gathered, layer);
    return {
      layer,
      experts: "exps",
      ...scores,
      ...this.#choice(ids, scores),
      ids,
      gathered,
      weighing: operations,
      weights: behindReshapes(weighing.weights),
      weighted: weighing.weighted,
      expertOutputs,
      sum: this.#sum(weighing.summed, ids),
    };
  }

  /** What comes of the last product when the experts' own biases and scales are in it. */
  #outputs(down: GraphNode, ids: GraphNode): GraphNode {
    for (let at = down; ; ) {
      const reader = onlyReader(at);
      const own =
        reader?.sources[0] === at &&
        ((reader.op === "ADD_ID" && weightAt(reader, 1) !== null && reader.sources[2] === ids) ||
          (reader.op === "MUL" && this.#isScaleOf(reader.sources[1]!, ids)));
      if (!own) return at;
      at = reader;
    }
  }

  /** A number of each chosen expert, from the model file. */
  #isScaleOf(node: GraphNode, ids: GraphNode): boolean {
    return node.op === "GET_ROWS" && node.sources[1] === ids && !this.#levels.isLive(node.sources[0]!.index);
  }

  /** Where the weights come in: at the outputs, or at the inputs of the first product. */
  #weighing(
    outputs: GraphNode,
    first: GraphNode,
  ): Pick<MoePass, "weighted" | "weights"> & { summed: GraphNode } {
    const reader = onlyReader(outputs);
    if (reader?.op === "MUL") {
      const [a, b] = reader.sources as [GraphNode, GraphNode];
      return { weighted: "outputs", weights: a === outputs ? b : a, summed: reader };
    }
    const input = first.sources[1]!;
    must(
      input.op === "MUL" && input.sources[0]!.op === "REPEAT",
      () => "neither the experts' outputs nor their inputs are multiplied with weights",
    );
    return { weighted: "inputs", weights: input.sources[1]!, summed: outputs };
  }

  /** Back from the weights to the probabilities that were taken by the pass's own ids. */
  #gathered(weights: GraphNode, ids: GraphNode): { gathered: GraphNode; operations: GraphNode[] } {
    const operations: GraphNode[] = [];
    for (let at = weights; ; ) {
      if (at.op === "GET_ROWS") {
        must(at.sources[1] === ids, () => "its weights are taken for another choice than the experts are");
        return { gathered: at, operations: operations.sort(byOrder) };
      }
      must(WEIGHING.has(at.op), () => `its weights come of the operation ${at.op}, which is not known there`);
      operations.push(at);
      if (at.op === "DIV") append(operations, sumOf(at));
      at = at.sources[0]!;
    }
  }

  /** Back from the probabilities to the router. */
  #scores(gathered: GraphNode, layer: number): Pick<MoePass, "router" | "logits" | "scoring" | "probs"> {
    const isBiased = (node: GraphNode): boolean => {
      const bias = node.op === "ADD" ? weightAt(node, 1) : null;
      return bias?.part === "ffn_gate_inp.bias" && bias.layer === layer;
    };
    const probs = behindReshapes(gathered.sources[0]!);
    const scoring: GraphNode[] = [];
    for (let at = probs; ; ) {
      if (at.op === "MUL_MAT") {
        const weight = weightAt(at, 0);
        must(
          weight?.part === "ffn_gate_inp.weight" && weight.layer === layer,
          () =>
            `its experts are scored by ${weight ? describe(weight.layer, weight.part) : "no weight"}, not by its router`,
        );
        const biased = scoring[0] !== undefined && isBiased(scoring[0]);
        const logits = biased ? scoring.shift()! : at;
        must(
          at.readers.every((reader) => reader === logits || (!biased && !isBiased(reader))),
          () => "its router's product is read with its bias and without",
        );
        return { router: at, logits, scoring, probs };
      }
      const live = at.sources.filter((source) => source && this.#levels.flows(source.index));
      must(
        (SCORING.has(at.op) || isBiased(at)) && live.length === 1 && live[0] === at.sources[0],
        () => `its experts' scores come of the operation ${at.op}, which is not known there`,
      );
      scoring.unshift(at);
      at = at.sources[0]!;
    }
  }

  /** From the scores to the ids. */
  #choice(
    ids: GraphNode,
    { logits, scoring, probs }: Pick<MoePass, "logits" | "scoring" | "probs">,
  ): Pick<MoePass, "choosing" | "selection"> {
    const sorted = behindViews(ids);
    if (sorted.op === "GET_ROWS" && weightAt(sorted, 0)?.part === "ffn_gate_tid2eid.weight")
      return { choosing: [], selection: null };
    must(
      sorted.op === "ARGSORT" && sorted.parameter === DESCENDING && ids.viewOffset === 0,
      () => `its experts are chosen by the operation ${sorted.op}, expected a falling sort`,
    );
    const selection = sorted.sources[0]!;
    const known = new Set([logits, ...scoring, probs]);
    const choosing = new Set<GraphNode>();
    const visit = (node: GraphNode): void => {
      if (known.has(node) || choosing.has(node) || isLeaf(node)) return;
      const earlier = node.index < logits.index;
      must(
        !(earlier && this.#levels.isLive(node.index)),
        () => "its experts are chosen by more than the router's logits",
      );
      if (!earlier) choosing.add(node);
      for (const source of node.sources) if (source) visit(source);
    };
    visit(selection);
    return { choosing: [...choosing].sort(byOrder), selection };
  }

  /** The sum over a token's experts: a view of each, added up. */
  #sum(summed: GraphNode, ids: GraphNode): GraphNode {
    const views = summed.readers;
    const slots = new Set(views.map((view) => view.viewOffset - summed.viewOffset));
    const eachOnce = Array.from({ length: ids.shape[0]! }, (_, slot) => slot * summed.strides[1]!);
    must(
      views.length === eachOnce.length &&
        views.every(({ op }) => op === "VIEW") &&
        eachOnce.every((offset) => slots.has(offset)),
      () => "its experts' outputs are not added up once each",
    );
    const left = new Set(views);
    let sum = views[0]!;
    left.delete(sum);
    while (left.size > 0) {
      const reader = onlyReader(sum);
      const other = reader?.sources.find((source) => source !== sum);
      must(
        reader?.op === "ADD" && left.delete(other!) && onlyReader(other!) === reader,
        () => "its experts' outputs are not added up once each",
      );
      sum = reader;
    }
    // A single view becomes a tensor of its own.
    const copy = onlyReader(sum);
    return copy?.op === "CONT" ? copy : sum;
  }
}

function onlyReader({ readers }: GraphNode): GraphNode | null {
  return readers.length === 1 ? readers[0]! : null;
}

/** `GGML_SORT_ORDER_DESC`. */
const DESCENDING = 1;

/** What may lie between the probabilities of the chosen and their weights; each works on its first operand. */
const WEIGHING = new Set(["RESHAPE", "SOFT_MAX", "DIV", "SCALE", "CLAMP", "CONT"]);

/** What may lie between logits and probabilities. */
const SCORING = new Set([
  ...["SOFT_MAX", "SIGMOID", "SOFTPLUS", "SQRT", "TANH", "EXP"],
  ...["SCALE", "CLAMP", "RESHAPE", "CONT", "GET_ROWS"],
]);

/** A tensor of which others are the same values in another shape. */
function behindReshapes(node: GraphNode): GraphNode {
  let at = node;
  while (at.op === "RESHAPE") at = at.sources[0]!;
  return at;
}

/** The operations that make a divisor: the sum of what is divided, kept from being 0. */
function sumOf({ sources }: GraphNode): GraphNode[] {
  const whole = behindReshapes(sources[0]!);
  const operations: GraphNode[] = [];
  for (let at = sources[1]!; behindReshapes(at) !== whole; at = at.sources[0]!) {
    must(
      ["SUM_ROWS", "CLAMP", "RESHAPE", "SCALE"].includes(at.op),
      () => `its weights are divided by the outcome of ${at.op}, expected their sum`,
    );
    operations.push(at);
  }
  must(
    operations.filter(({ op }) => op === "SUM_ROWS").length === 1,
    () => "its weights are divided by something that is not their sum",
  );
  return operations;
}

const byOrder = (a: GraphNode, b: GraphNode) => a.index - b.index;

const describe = (layer: number | null, part: string) => (layer === null ? part : `blk.${layer}.${part}`);
