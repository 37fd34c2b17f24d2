import { open, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { GGMLQuantizationType, type GGUFTensorInfo, gguf, parseGgufShardFilename } from "@huggingface/gguf";
import { ModelError } from "../../errors.ts";
import { gatingOf } from "../../routing/architectures.ts";
import type { ModelInfo, MoeInfo } from "../engine.ts";

/** What is read from a GGUF file before llama.cpp sees it. */
export interface GgufHeader {
  readonly metadata: Record<string, unknown>;
  readonly tensors: readonly GGUFTensorInfo[];
  /** All parts of a split model, in order; one path otherwise. */
  readonly files: readonly string[];
  readonly bytes: number;
}

/**
 * Read a model's description without loading it.
 *
 * @throws ModelError `MODEL_NOT_FOUND` or `MODEL_INVALID`, saying what is wrong with which file.
 */
export async function inspectFile(path: string, source = path): Promise<ModelInfo> {
  return modelInfo(await readHeader(path), source);
}

/** Read and check the header of a GGUF file and of all its parts. */
export async function readHeader(path: string): Promise<GgufHeader> {
  const files = partsOf(path);
  const parts = [];
  for (const file of files) parts.push(await readPart(file, files.length));
  return {
    metadata: parts[0]!.metadata,
    tensors: parts.flatMap((part) => part.tensors),
    files,
    bytes: parts.reduce((sum, part) => sum + part.bytes, 0),
  };
}

/** `model-00001-of-00003.gguf` names its siblings; any of them stands for the whole. */
function partsOf(path: string): string[] {
  const shard = parseGgufShardFilename(basename(path));
  if (!shard) return [path];
  return Array.from({ length: Number(shard.total) }, (_, i) =>
    join(dirname(path), `${basename(shard.prefix)}-${String(i + 1).padStart(5, "0")}-of-${shard.total}.gguf`),
  );
}

async function readPart(file: string, parts: number) {
  const info = await stat(file).catch((cause) => {
    const part = parts > 1 ? `; the model has ${parts} parts and all must lie side by side` : "";
    throw new ModelError("MODEL_NOT_FOUND", `no model at ${file}${part}`, { cause });
  });
  if (!info.isFile())
    throw new ModelError("MODEL_NOT_FOUND", `${file} is not a file; give the path of a .gguf file`);
  await checkMagic(file, info.size);
  const header = await gguf(file, { allowLocalFile: true }).catch((cause) => {
    throw new ModelError(
      "MODEL_INVALID",
      `${file} is not a readable GGUF file (${(cause as Error).message}); it may be cut off or damaged: get it again`,
      { cause },
    );
  });
  checkBounds(file, info.size, header.tensorDataOffset, header.tensorInfos);
  return {
    metadata: header.metadata as Record<string, unknown>,
    tensors: header.tensorInfos,
    bytes: info.size - Number(header.tensorDataOffset),
  };
}

async function checkMagic(file: string, size: number): Promise<void> {
  const handle = await open(file);
  try {
    const magic = Buffer.alloc(4);
    await handle.read(magic, 0, 4, 0);
    if (magic.toString("latin1") !== "GGUF")
      throw new ModelError(
        "MODEL_INVALID",
        `${file} (${size} bytes) is not a GGUF file: it does not begin with "GGUF". Hugging Face checkpoints are ` +
          "converted with llama.cpp's convert_hf_to_gguf.py",
      );
  } finally {
    await handle.close();
  }
}

function checkBounds(
  file: string,
  size: number,
  dataOffset: bigint,
  tensors: readonly GGUFTensorInfo[],
): void {
  const outside = tensors.find((tensor) => dataOffset + tensor.offset >= BigInt(size));
  if (outside)
    throw new ModelError(
      "MODEL_INVALID",
      `${file} ends at ${size} bytes, before the data of ${outside.name}: it is cut off, get it again`,
    );
}

/** Describe a model from its header. */
export function modelInfo({ metadata, tensors, bytes }: GgufHeader, source: string): ModelInfo {
  const architecture = String(metadata["general.architecture"] ?? "");
  const number = (key: string): number | undefined => {
    const value = metadata[`${architecture}.${key}`];
    // Keys that may differ by layer are arrays then.
    const scalar = Array.isArray(value) ? value[0] : value;
    return scalar === undefined ? undefined : Number(scalar);
  };
  const blocks = number("block_count");
  if (!architecture || blocks === undefined)
    throw new ModelError(
      "MODEL_INVALID",
      `${source} describes no language model (no general.architecture or block_count); is it a vision projector or an adapter?`,
    );
  const vocabulary = metadata["tokenizer.ggml.tokens"];
  // Extra layers for multi-token prediction are in the file but not in the graph.
  const layers = blocks - (number("nextn_predict_layers") ?? 0);
  return {
    name: String(metadata["general.name"] ?? basename(source, ".gguf")),
    source,
    architecture,
    layers,
    hiddenSize: number("embedding_length") ?? 0,
    vocabSize: Array.isArray(vocabulary) ? vocabulary.length : (number("vocab_size") ?? 0),
    contextLength: number("context_length") ?? 0,
    parameters: tensors.reduce((sum, t) => sum + t.shape.reduce((product, n) => product * Number(n), 1), 0),
    bytes,
    quantization: mainType(tensors),
    moe: moeInfo(),
  };

  function moeInfo(): MoeInfo | null {
    const names = new Set(tensors.map((tensor) => tensor.name));
    const having = (part: string) =>
      Array.from({ length: layers }, (_, layer) => layer).filter((layer) =>
        names.has(`blk.${layer}.${part}`),
      );
    const moeLayers = having("ffn_gate_inp.weight");
    const experts = number("expert_count") ?? 0;
    if (moeLayers.length === 0 || experts === 0) return null;
    const shared = having("ffn_up_shexp.weight").length > 0 || having("ffn_gate_up_shexp.weight").length > 0;
    return {
      layers: moeLayers,
      experts,
      topK: number("expert_used_count") ?? 0,
      // Qwen2-MoE and others have one shared expert and no count.
      sharedExperts: shared ? Math.max(1, number("expert_shared_count") ?? 0) : 0,
      gating: gatingOf(architecture, {
        gatingFunction: number("expert_gating_func"),
        weightsNorm: metadata[`${architecture}.expert_weights_norm`] as boolean | undefined,
        weightsScale: number("expert_weights_scale"),
        groupCount: number("expert_group_count"),
        groupsUsed: number("expert_group_used_count"),
        selectionBias: having("exp_probs_b.bias").length > 0,
      }),
    };
  }
}

/** The tensor type that holds most of the weights. */
function mainType(tensors: readonly GGUFTensorInfo[]): string {
  const elements = new Map<number, number>();
  for (const { dtype, shape } of tensors)
    elements.set(dtype, (elements.get(dtype) ?? 0) + shape.reduce((product, n) => product * Number(n), 1));
  const [type] = [...elements].sort((a, b) => b[1] - a[1])[0] ?? [];
  return type === undefined ? "none" : (GGMLQuantizationType[type] ?? `type ${type}`);
}
