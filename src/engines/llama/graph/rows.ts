import { toNumber } from "../native/native-memory.ts";
import { TENSOR } from "../native/tensor-reader.ts";
import { type Graph, NONE } from "./graph.ts";
import { isEmbedding } from "./levels.ts";

/** The axis of a tensor that counts rows, and what they are. */
export interface TokenRows {
  readonly axis: number;
  /** All tokens of the step, or those marked as outputs; each in the order of the batch. */
  readonly of: "tokens" | "outputs";
}

/** Fields of a tensor's struct, in 8 bytes. */
const [NE, NB] = [TENSOR.ne >> 3, TENSOR.nb >> 3];

/** As kept by index: twice the axis, one more for outputs; 0: not known. */
type Rows = number;

/**
 * Follows the step's tokens through a graph: of each tensor, which axis counts them.
 *
 * It begins where the tokens' embeddings are looked up and goes from operation to operation, knowing what each does to
 * the axes. Where it does not know, the tensor has none; a sum with one that has makes it known again, because what is
 * added up belongs to the same token.
 */
export class RowAxes {
  /** The input with the step's token ids. */
  readonly tokens: number = NONE;
  /** The input with the places of the marked tokens; {@link NONE}: the graph takes no rows out. */
  outputs: number = NONE;
  readonly #graph: Graph;
  readonly #rows: Uint8Array;
  /** See {@link GraphParts}: sizes are compared as they are. */
  readonly #numbers: Float64Array;

  constructor(graph: Graph) {
    const { op, opNames, sources, sourcesFrom, numbers } = graph.parts;
    this.#graph = graph;
    this.#numbers = numbers;
    this.#rows = new Uint8Array(graph.size);
    this.tokens = graph.nodes("GET_ROWS").find(isEmbedding)?.sources[1]?.index ?? NONE;
    const rules = opNames.map((name) => RULES.get(name) ?? OTHERS);
    for (let i = 0; i < graph.nodeCount; i++)
      this.#rows[i] = this.#rowsOf(rules[op[i]!]!, i, sources, sourcesFrom[i]!, sourcesFrom[i + 1]!);
  }

  /** `null`: not known. */
  of(index: number): TokenRows | null {
    const rows = this.#rows[index]!;
    return rows === 0 ? null : { axis: rows >> 1, of: rows & 1 ? "outputs" : "tokens" };
  }

  /** Of operands whose values count, none is left out before another. */
  #rowsOf(rule: Rule, i: number, sources: Int32Array, from: number, to: number): Rows {
    if (from === to) return 0;
    const a = sources[from]!;
    const b = from + 1 < to ? sources[from + 1]! : NONE;
    switch (rule) {
      case "alike":
        return this.#kept(a, i);
      case "joining":
        return agreed(this.#kept(a, i), this.#kept(b, i));
      case "second":
        return this.#kept(b, i);
      case "view":
        return this.#viewed(a, i);
      case "reshape":
        return this.#reshaped(a, i);
      case "take":
        return this.#taken(a, b, i);
      case "by third":
        return this.#moved(sources[from + 2]!, 1, 2);
      case "out":
        return this.#moved(a, 1, 2);
      case "in":
        return this.#moved(a, 2, 1);
      case "put": {
        const into = this.#kept(sources[from + 2]!, i);
        return into === 0 ? 0 : agreed(this.#rows[a]!, into);
      }
      default:
        return 0;
    }
  }

  /** Of a table by token, of the tokens those that are outputs, or of each token's row by its own indices. */
  #taken(from: number, indices: number, i: number): Rows {
    const graph = this.#graph;
    const rows = this.#rows[from]!;
    if (indices < graph.nodeCount) {
      const own = this.#rows[indices]!;
      return own >> 1 === 1 && rows >> 1 === 2 && (own & 1) === (rows & 1) ? rows : 0;
    }
    if (from >= graph.nodeCount) return indices === this.tokens ? 2 : 0;
    if (rows !== 2 || graph.isIndex[indices] === 0 || indices === this.tokens) return 0;
    if (this.outputs === NONE) this.outputs = indices;
    return indices === this.outputs && this.#size(i, 1) === this.#size(indices, 0) ? 3 : 0;
  }

  #size(index: number, axis: number): number {
    return this.#numbers[this.#start(index) + NE + axis]!;
  }

  #stride(index: number, axis: number): number {
    return this.#numbers[this.#start(index) + NB + axis]!;
  }

  /** Of operations, and of inputs, which lie among them. */
  #start(index: number): number {
    const { nodeCount, nodes, leaves, from } = this.#graph.parts;
    return ((index < nodeCount ? nodes[index]! : leaves[index - nodeCount]!.address) - from) / 8;
  }

  /** The same axis, if it is still as long. */
  #kept(from: number, i: number): Rows {
    if (from === NONE) return 0;
    const rows = this.#rows[from]!;
    return rows !== 0 && this.#size(i, rows >> 1) === this.#size(from, rows >> 1) ? rows : 0;
  }

  #moved(from: number, axis: number, to: number): Rows {
    const rows = this.#rows[from]!;
    return rows >> 1 === axis ? to * 2 + (rows & 1) : 0;
  }

  /** The axis with as many values before it in memory. */
  #reshaped(from: number, i: number): Rows {
    const rows = this.#rows[from]!;
    const axis = rows >> 1;
    if (rows === 0) return 0;
    let before = 1;
    for (let k = 0; k < axis; k++) before *= toNumber(this.#size(from, k));
    let own = 1;
    for (let k = 1; k < 4; k++) {
      own *= toNumber(this.#size(i, k - 1));
      if (own === before && this.#size(i, k) === this.#size(from, axis)) return k * 2 + (rows & 1);
    }
    return 0;
  }

  /** The axis with the same step in memory. */
  #viewed(from: number, i: number): Rows {
    const rows = this.#rows[from]!;
    const axis = rows >> 1;
    if (rows === 0) return 0;
    for (let k = 1; k < 4; k++)
      if (this.#size(i, k) === this.#size(from, axis) && this.#stride(i, k) === this.#stride(from, axis))
        return k * 2 + (rows & 1);
    return 0;
  }
}

/** What an operation does to the axis that counts tokens. */
type Rule =
  | "alike" // leaves the first operand's
  | "joining" // both operands' values belong together
  | "second" // leaves the second operand's
  | "by third" // axis 1 of the third operand becomes axis 2
  | "out" // axis 1 of the first becomes axis 2
  | "in" // axis 2 of the first becomes axis 1
  | "view"
  | "reshape"
  | "take"
  | "put"
  | "not known";

const OTHERS: Rule = "not known";

const RULES: ReadonlyMap<string, Rule> = new Map(
  (
    [
      [
        "alike",
        ["SCALE", "CLAMP", "SQR", "SQRT", "LOG", "SIN", "COS", "DUP", "CPY", "FILL", "PAD", "REPEAT", "ROPE"],
      ],
      [
        "alike",
        ["NORM", "RMS_NORM", "GROUP_NORM", "L2_NORM", "SOFT_MAX", "ARGSORT", "TOP_K", "SUM_ROWS", "MEAN"],
      ],
      [
        "alike",
        [
          "ADD_ID",
          "ABS",
          "SGN",
          "NEG",
          "STEP",
          "TANH",
          "ELU",
          "RELU",
          "SIGMOID",
          "GELU",
          "GELU_QUICK",
          "SILU",
        ],
      ],
      [
        "alike",
        ["HARDSWISH", "HARDSIGMOID", "EXP", "EXPM1", "SOFTPLUS", "GELU_ERF", "XIELU", "FLOOR", "CEIL"],
      ],
      ["alike", ["ROUND", "TRUNC"]],
      ["joining", ["ADD", "SUB", "MUL", "DIV", "CONCAT"]],
      ["joining", ["REGLU", "GEGLU", "SWIGLU", "SWIGLU_OAI", "GEGLU_ERF", "GEGLU_QUICK", "SWIGLU_CLAMP"]],
      // Hyper-connections: one stream of a token is spread over several, and those are mixed to one again.
      ["second", ["MUL_MAT", "DSV4_HC_POST"]],
      ["in", ["DSV4_HC_PRE"]],
      ["by third", ["MUL_MAT_ID"]],
      ["out", ["FLASH_ATTN_EXT"]],
      ["view", ["VIEW", "PERMUTE", "TRANSPOSE"]],
      ["reshape", ["RESHAPE", "CONT"]],
      ["take", ["GET_ROWS"]],
      ["put", ["SET_ROWS"]],
    ] as const
  ).flatMap(([rule, ops]) => ops.map((op) => [op, rule] as const)),
);

/** What two operands say; they must not differ. */
function agreed(a: Rows, b: Rows): Rows {
  if (a === 0 || b === 0) return a || b;
  return a === b ? a : 0;
}
