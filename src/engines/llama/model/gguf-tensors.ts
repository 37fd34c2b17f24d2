import { GGMLQuantizationType, type GGUFTensorInfo } from "@huggingface/gguf";

const T = GGMLQuantizationType;

/** Elements and bytes of a block, by tensor type; a type that is not here is llama.cpp's to refuse. Source: ggml.c, `type_traits`. */
const BLOCKS = new Map<number, readonly [elements: number, bytes: number]>([
  [T.F32, [1, 4]],
  [T.F16, [1, 2]],
  [T.BF16, [1, 2]],
  [T.Q4_0, [32, 18]],
  [T.Q4_1, [32, 20]],
  [T.Q5_0, [32, 22]],
  [T.Q5_1, [32, 24]],
  [T.Q8_0, [32, 34]],
  [T.Q2_K, [256, 84]],
  [T.Q3_K, [256, 110]],
  [T.Q4_K, [256, 144]],
  [T.Q5_K, [256, 176]],
  [T.Q6_K, [256, 210]],
  [T.IQ2_XXS, [256, 66]],
  [T.IQ2_XS, [256, 74]],
  [T.IQ3_XXS, [256, 98]],
  [T.IQ1_S, [256, 50]],
  [T.IQ4_NL, [32, 18]],
  [T.IQ3_S, [256, 110]],
  [T.IQ2_S, [256, 82]],
  [T.IQ4_XS, [256, 136]],
  [T.IQ1_M, [256, 56]],
  [T.TQ1_0, [256, 54]],
  [T.TQ2_0, [256, 66]],
  [T.MXFP4, [32, 17]],
]);

/** Types ggml computes in between, or keeps indices in. As weights they have no kernels, and a null pointer is called. */
const NO_WEIGHTS = new Set<number>([T.Q8_1, T.Q8_K, T.I8, T.I16, T.I32, T.I64, T.F64]);
/** Tables of expert ids in models that route by token. */
const INDEX_TABLE = /tid2eid/;
/** What is added, multiplied with or convolved has kernels for F32 only, and every converter writes it so. */
const F32_ONLY = /\.bias$|ssm_conv1d|shortconv\.conv/;
/** The gate of a shared expert: a matrix with one output. */
const ONE_ROW = /ffn_gate_inp_shexp\.weight$/;
/** `GGML_MAX_DIMS` and `GGML_MAX_NAME`, the latter with its NUL. */
const MAX_DIMS = 4;
const MAX_NAME = 64;

/** What a tensor's data begin at a multiple of, in bytes: ggml asserts it (`TENSOR_ALIGNMENT`), whatever a file says of itself. */
const ALIGNMENT = 32;
/** Room between tensors that a file may ask for. */
const MAX_ALIGNMENT = 1 << 16;

/** What is wrong with how a file says its data are aligned, or `null`. */
export function alignmentFault(metadata: Readonly<Record<string, unknown>>): string | null {
  const alignment = metadata["general.alignment"] ?? ALIGNMENT;
  const fits =
    typeof alignment === "number" &&
    alignment >= ALIGNMENT &&
    alignment <= MAX_ALIGNMENT &&
    Number.isInteger(Math.log2(alignment));
  return fits
    ? null
    : `general.alignment is ${alignment}, it must be a power of 2 from ${ALIGNMENT} to ${MAX_ALIGNMENT}`;
}

/** What is wrong with a file's tensors, or `null`: their types, shapes, and whether their data is all there. */
export function tensorFault(
  tensors: readonly GGUFTensorInfo[],
  dataOffset: bigint,
  fileBytes: number,
): string | null {
  const names = new Set<string>();
  for (const tensor of tensors) {
    const { name } = tensor;
    if (names.has(name)) return `two tensors are named ${name}`;
    names.add(name);
    const fault = shapeFault(tensor) ?? typeFault(tensor);
    if (fault) return `tensor ${name} ${fault}`;
    if ((dataOffset + tensor.offset) % BigInt(ALIGNMENT) !== 0n)
      return `tensor ${name} is not aligned to ${ALIGNMENT} bytes`;
    if (dataOffset + tensor.offset + tensorBytes(tensor) > BigInt(fileBytes))
      return `the file ends at ${fileBytes} bytes, before the end of tensor ${name}: it is cut off`;
  }
  return null;
}

function shapeFault({ name, shape }: GGUFTensorInfo): string | null {
  if (name.length >= MAX_NAME) return `has a name of more than ${MAX_NAME - 1} characters`;
  if (shape.length < 1 || shape.length > MAX_DIMS) return `has ${shape.length} dimensions`;
  if (shape.some((n) => n < 1n)) return `has the impossible shape ${shape.join(" x ")}`;
  return null;
}

function typeFault({ name, dtype, shape }: GGUFTensorInfo): string | null {
  const type = T[dtype] ?? `type ${dtype}`;
  if (NO_WEIGHTS.has(dtype) && !INDEX_TABLE.test(name)) return `has type ${type}, which weights cannot have`;
  // What is multiplied as a matrix may have any type, though it has one row.
  const vector = shape.length === 1 && !ONE_ROW.test(name);
  if (dtype !== T.F32 && (vector || F32_ONLY.test(name))) return `has type ${type} where llama.cpp needs F32`;
  const block = BLOCKS.get(dtype);
  if (block && shape[0]! % BigInt(block[0]) !== 0n)
    return `has rows of ${shape[0]} values, no multiple of ${type}'s block of ${block[0]}`;
  return null;
}

/** Size of the data; at least a byte where the type's layout is not known. */
export function tensorBytes({ dtype, shape }: GGUFTensorInfo): bigint {
  const block = BLOCKS.get(dtype);
  if (!block) return 1n;
  return (shape.reduce((product, n) => product * n, 1n) / BigInt(block[0])) * BigInt(block[1]);
}
