import { stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import {
  GGMLQuantizationType,
  type GGUFTensorInfo,
  GGUFValueType,
  gguf,
  parseGgufShardFilename,
} from "@huggingface/gguf";
import { POOLINGS } from "../../../core/embedding.ts";
import { ModelError } from "../../../core/errors.ts";
import type { ModelInfo } from "../../../core/model-info.ts";
import { openFile } from "../../../formats/regular-file.ts";
import { foreignFile, otherGguf } from "./file-kind.ts";
import { metadataFault } from "./gguf-check.ts";
import { moeOf } from "./gguf-moe.ts";
import { namesFault } from "./gguf-names.ts";
import { alignmentFault, tensorFault } from "./gguf-tensors.ts";
import { type PromptFacts, promptFacts } from "./prompt-facts.ts";

/** The shortest entries there can be: a key of no letters with a byte, a tensor of no name with one dimension. */
const MIN_KEY_BYTES = 13;
const MIN_TENSOR_BYTES = 32;

/** What is read from a GGUF file before llama.cpp sees it. */
export interface GgufHeader {
  readonly metadata: Record<string, unknown>;
  readonly tensors: readonly GGUFTensorInfo[];
  /** The tensors of each of {@link files}, and where their data begin, in bytes. */
  readonly parts: readonly GgufPart[];
  /** All parts of a split model, in order; one path otherwise. */
  readonly files: readonly string[];
  readonly bytes: number;
}

/** What a file says of its model. */
export interface ModelFile extends ModelInfo {
  readonly prompts: PromptFacts;
}

interface GgufPart {
  readonly tensors: readonly GGUFTensorInfo[];
  readonly dataOffset: bigint;
}

/**
 * Read a model's description without loading it.
 *
 * @throws ModelError `MODEL_NOT_FOUND` or `MODEL_INVALID`, saying what is wrong with which file.
 */
export async function inspectFile(path: string, source = path): Promise<ModelFile> {
  const header = await readHeader(path);
  const info = modelInfo(header, source);
  return { ...info, prompts: promptFacts(header.metadata, info.name) };
}

/** Read and check the header of a GGUF file and of all its parts. */
export async function readHeader(path: string): Promise<GgufHeader> {
  const files = partsOf(path);
  const parts = [];
  for (const [i, file] of files.entries()) {
    const part = await readPart(file, files.length);
    const fault = splitFault(part.metadata, part.splitNumber, i, files);
    if (fault) throw invalid(file, fault);
    parts.push(part);
  }
  const { metadata } = parts[0]!;
  const tensors = parts.flatMap((part) => part.tensors);
  const other = otherGguf(metadata, tensors);
  if (other) throw new ModelError("MODEL_UNSUPPORTED", `${files[0]} is no language model: ${other}`);
  const total = metadata["split.tensors.count"];
  if (files.length > 1 && typeof total === "number" && total !== tensors.length)
    throw invalid(
      files[0]!,
      `its parts hold ${tensors.length} tensors together, and the first says ${total}`,
    );
  const fault = metadataFault(metadata, tensors);
  if (fault) throw invalid(files[0]!, fault);
  return {
    metadata,
    tensors,
    parts,
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

/**
 * What is wrong with a part of a split model, or `null`. llama.cpp finds the other parts by the name of the first, and
 * trusts them.
 */
function splitFault(
  metadata: Record<string, unknown>,
  typeOfNumber: GGUFValueType | undefined,
  index: number,
  files: readonly string[],
): string | null {
  const number = Number(metadata["split.no"] ?? 0);
  const count = Number(metadata["split.count"] ?? 0);
  if (count <= 1 && files.length === 1) return null;
  const named = `-${String(number + 1).padStart(5, "0")}-of-${String(count).padStart(5, "0")}.gguf`;
  if (files.length === 1)
    return `it is part ${number + 1} of ${count} of a split model under another name: all parts must be named NAME${named} and lie side by side`;
  if (metadata["split.count"] === undefined)
    return `it says nothing of parts, and is named as one of ${files.length}`;
  // The other keys llama.cpp asks for by their type, and this one it takes for granted.
  if (typeOfNumber !== GGUFValueType.UINT16) return "its split.no is missing or no 16-bit number";
  if (count !== files.length) return `it is one of ${count} parts, and is named as one of ${files.length}`;
  return number === index ? null : `it is part ${number + 1}, and is named as part ${index + 1}`;
}

/** A GGUF file by itself, its header checked. @throws ModelError */
export async function readPart(file: string, parts: number) {
  const info = await stat(file).catch((cause) => {
    const part = parts > 1 ? `; the model has ${parts} parts and all must lie side by side` : "";
    throw new ModelError("MODEL_NOT_FOUND", `no model at ${file}${part}`, { cause });
  });
  if (!info.isFile())
    throw new ModelError("MODEL_NOT_FOUND", `${file} is not a file; give the path of a .gguf file`);
  await checkStart(file, info.size);
  const header = await gguf(file, { allowLocalFile: true, typedMetadata: true }).catch((cause) => {
    throw new ModelError(
      "MODEL_INVALID",
      `${file} is not a readable GGUF file (${(cause as Error).message}); it may be cut off or damaged: get it again`,
      { cause },
    );
  });
  const metadata = header.metadata as Record<string, unknown>;
  // Behind the end of the file the reader sees zeros, which are a well-formed header.
  const fault =
    header.tensorDataOffset > info.size
      ? `the file ends at ${info.size} bytes, within its header: it is cut off`
      : (namesFault(metadata, header.tensorInfos) ??
        alignmentFault(metadata) ??
        tensorFault(header.tensorInfos, header.tensorDataOffset, info.size));
  if (fault) throw invalid(file, fault);
  return {
    metadata,
    splitNumber: header.typedMetadata["split.no"]?.type,
    tensors: header.tensorInfos,
    dataOffset: header.tensorDataOffset,
    bytes: info.size - Number(header.tensorDataOffset),
  };
}

/** Magic, and counts that the file has room for: nothing else is allocated for before. */
async function checkStart(file: string, size: number): Promise<void> {
  const handle = await openFile(file);
  try {
    const start = Buffer.alloc(24);
    await handle.read(start, 0, start.length, 0);
    if (start.toString("latin1", 0, 4) !== "GGUF")
      throw new ModelError(
        "MODEL_INVALID",
        `${file} (${size} bytes) is not a GGUF file: ${foreignFile(start)}`,
      );
    const version = start.readUInt32LE(4);
    if (start.readUInt32BE(4) === 2 || start.readUInt32BE(4) === 3)
      throw new ModelError(
        "MODEL_UNSUPPORTED",
        `${file} is a big-endian GGUF file, for machines as IBM's; llama.cpp reads little-endian ones here. Get that, or ` +
          "convert it with gguf-py's gguf_convert_endian.py",
      );
    if (version !== 2 && version !== 3)
      throw invalid(file, `it is GGUF version ${version}, llama.cpp reads 2 and 3 (little-endian)`);
    const needed =
      start.readBigUInt64LE(8) * BigInt(MIN_TENSOR_BYTES) + start.readBigUInt64LE(16) * BigInt(MIN_KEY_BYTES);
    if (needed > size)
      throw invalid(
        file,
        `its header announces ${needed} bytes of entries, the file has ${size}: it is cut off`,
      );
  } finally {
    await handle.close();
  }
}

const invalid = (file: string, fault: string) =>
  new ModelError("MODEL_INVALID", `${file} is damaged or no model llama.cpp can run: ${fault}`);

/** Describe a model from its header, which {@link readHeader} has checked. */
export function modelInfo({ metadata, tensors, bytes }: GgufHeader, source: string): ModelInfo {
  const architecture = String(metadata["general.architecture"] ?? "");
  const number = (key: string): number | undefined => {
    const value = metadata[`${architecture}.${key}`];
    // Keys that may differ by layer are arrays then.
    const scalar = Array.isArray(value) ? value[0] : value;
    return scalar === undefined ? undefined : Number(scalar);
  };
  const blocks = number("block_count")!;
  const vocabulary = metadata["tokenizer.ggml.tokens"];
  // Extra layers for multi-token prediction are in the file but not in the graph.
  const layers = blocks - (number("nextn_predict_layers") ?? 0);
  const vocabSize = Array.isArray(vocabulary) ? vocabulary.length : (number("vocab_size") ?? 0);
  const pooling = number("pooling_type");
  return {
    name: String(metadata["general.name"] ?? basename(source, ".gguf")),
    source,
    architecture,
    layers,
    hiddenSize: number("embedding_length") ?? 0,
    vocabSize,
    contextLength: number("context_length") ?? 0,
    parameters: tensors.reduce((sum, t) => sum + t.shape.reduce((product, n) => product * Number(n), 1), 0),
    bytes,
    quantization: mainType(tensors),
    ...(pooling !== undefined && { pooling: POOLINGS[pooling]! }),
    moe: moeOf({ metadata, tensors, architecture, layers, vocabSize }),
  };
}

/** The tensor type that holds most of the weights. */
function mainType(tensors: readonly GGUFTensorInfo[]): string {
  const elements = new Map<number, number>();
  for (const { dtype, shape } of tensors)
    elements.set(dtype, (elements.get(dtype) ?? 0) + shape.reduce((product, n) => product * Number(n), 1));
  const [type] = [...elements].sort((a, b) => b[1] - a[1])[0] ?? [];
  return type === undefined ? "none" : (GGMLQuantizationType[type] ?? `type ${type}`);
}
