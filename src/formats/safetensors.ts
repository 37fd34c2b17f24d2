import { closeSync, fstatSync, readSync } from "node:fs";
import { CaptureError } from "../core/errors.ts";
import { openFileSync } from "./regular-file.ts";

/**
 * The safetensors format (https://github.com/huggingface/safetensors#format): 8 bytes little-endian header length,
 * the header as JSON, then the tensors' bytes without gaps. Only the element types a capture uses; values are
 * little-endian in the file and in memory, as on every platform Node.js is built for but s390x.
 */

/** The element types, each with the array that holds it; 16-bit floats as their bits. */
interface DtypeArrays {
  F32: Float32Array;
  F16: Uint16Array;
  BF16: Uint16Array;
  U8: Uint8Array;
  U16: Uint16Array;
  I32: Int32Array;
}

export type Dtype = keyof DtypeArrays;
export type DtypeArray<D extends Dtype = Dtype> = DtypeArrays[D];

export const DTYPES = {
  F32: Float32Array,
  F16: Uint16Array,
  BF16: Uint16Array,
  U8: Uint8Array,
  U16: Uint16Array,
  I32: Int32Array,
} as const;

/** A tensor to write: dense, row-major. */
export interface TensorData {
  readonly name: string;
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  readonly data: DtypeArray;
}

/** Where a tensor lies in its file. */
interface TensorEntry {
  readonly dtype: Dtype;
  readonly shape: readonly number[];
  /** Offset of the first byte, from the start of the file. */
  readonly offset: number;
}

export interface SafetensorsHeader {
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly metadata: Readonly<Record<string, string>>;
}

/** In bytes; the limit of the reference implementation, so that whoever wrote the file could not exceed it either. */
const MAX_HEADER_LENGTH = 100_000_000;

/**
 * The bytes of a safetensors file, in order: the header, then each tensor's own memory.
 *
 * @param metadata goes into `__metadata__`, where every safetensors reader finds it.
 */
export function* safetensorsBytes(
  tensors: readonly TensorData[],
  metadata: Readonly<Record<string, string>> = {},
): Generator<Uint8Array> {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let end = 0;
  for (const { name, dtype, shape, data } of tensors) {
    const begin = end;
    end += data.byteLength;
    header[name] = { dtype, shape, data_offsets: [begin, end] };
  }
  const json = Buffer.from(JSON.stringify(header));
  // Spaces up to a multiple of 8: the values are then aligned for readers that map the file.
  const length = Math.ceil(json.length / 8) * 8;
  const bytes = Buffer.alloc(8 + length, " ");
  bytes.writeBigUInt64LE(BigInt(length));
  json.copy(bytes, 8);
  yield bytes;
  for (const { data } of tensors) yield new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
}

/**
 * Open a file for reading, hand its descriptor on, close it.
 *
 * @throws CaptureError `CAPTURE_INVALID` when there is no such file, it is none, or it cannot be read.
 */
export function withFile<R>(path: string, use: (fd: number) => R): R {
  let fd: number;
  try {
    fd = openFileSync(path);
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    throw invalid(path, missing ? "is missing" : `cannot be opened (${(cause as Error).message})`, cause);
  }
  try {
    return use(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Read and check a file's header. What it returns is safe to read by: every tensor lies inside the file, none
 * overlaps another, and its bytes are those of its dtype and shape.
 *
 * @throws CaptureError `CAPTURE_INVALID`, naming the file and the tensor.
 */
export function readHeader(fd: number, path: string): SafetensorsHeader {
  const size = fstatSync(fd).size;
  const prefix = readInto(fd, path, 0, new Uint8Array(Math.min(8, size)));
  if (size < 8) throw invalid(path, `has ${size} bytes: too short for a safetensors header`);
  const length = Number(Buffer.from(prefix.buffer).readBigUInt64LE());
  if (length > MAX_HEADER_LENGTH)
    throw invalid(path, `says its header has ${length} bytes; the limit is ${MAX_HEADER_LENGTH}`);
  if (8 + length > size)
    throw invalid(path, `ends inside its header: ${size} bytes of at least ${8 + length}`);
  const text = Buffer.from(readInto(fd, path, 8, new Uint8Array(length)).buffer).toString();
  return parseHeader(text, path, 8 + length, size);
}

/**
 * The header of a file that is in memory whole; checked as {@link readHeader} does.
 *
 * @param name what to call it in an error.
 */
export function parseSafetensors(bytes: Uint8Array, name: string): SafetensorsHeader {
  if (bytes.length < 8) throw invalid(name, `has ${bytes.length} bytes: too short for a safetensors header`);
  const length = Number(new DataView(bytes.buffer, bytes.byteOffset).getBigUint64(0, true));
  if (length > MAX_HEADER_LENGTH || 8 + length > bytes.length)
    throw invalid(name, `says its header has ${length} bytes, of ${bytes.length} in all`);
  const text = Buffer.from(bytes.buffer, bytes.byteOffset + 8, length).toString();
  return parseHeader(text, name, 8 + length, bytes.length);
}

function parseHeader(text: string, path: string, dataStart: number, size: number): SafetensorsHeader {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (cause) {
    throw invalid(path, "has a header that is no JSON", cause);
  }
  if (!isRecord(json)) throw invalid(path, "has a header that is no JSON object");
  const { __metadata__: metadata = {}, ...entries } = json;
  if (!isRecord(metadata) || Object.values(metadata).some((value) => typeof value !== "string"))
    throw invalid(path, "has metadata that are not all strings");
  const tensors = new Map<string, TensorEntry>();
  const spans: { name: string; begin: number; end: number }[] = [];
  for (const [name, entry] of Object.entries(entries)) {
    const { dtype, shape, begin, end } = parseEntry(entry, name, path);
    if (dataStart + end > size)
      throw invalid(path, `is truncated: tensor "${name}" ends at byte ${dataStart + end} of ${size}`);
    tensors.set(name, { dtype, shape, offset: dataStart + begin });
    spans.push({ name, begin, end });
  }
  spans.sort((a, b) => a.begin - b.begin || a.end - b.end);
  for (let i = 1; i < spans.length; i++)
    if (spans[i]!.begin < spans[i - 1]!.end)
      throw invalid(path, `has overlapping tensors "${spans[i - 1]!.name}" and "${spans[i]!.name}"`);
  return { tensors, metadata: metadata as Record<string, string> };
}

function parseEntry(entry: unknown, name: string, path: string) {
  const { dtype, shape, data_offsets: offsets } = isRecord(entry) ? entry : {};
  if (typeof dtype !== "string" || !Object.hasOwn(DTYPES, dtype))
    throw invalid(path, `has tensor "${name}" with dtype ${JSON.stringify(dtype)}, which no capture has`);
  if (!isSizes(shape) || !isSizes(offsets) || offsets.length !== 2)
    throw invalid(path, `has tensor "${name}" with a shape or offsets that are no lists of whole numbers`);
  const [begin, end] = offsets as [number, number];
  const bytes = shape.reduce((product, n) => product * n, DTYPES[dtype as Dtype].BYTES_PER_ELEMENT);
  // A product beyond 2^53 is inexact, but then far from the size of any file.
  if (end - begin !== bytes)
    throw invalid(path, `has tensor "${name}" of ${end - begin} bytes; ${dtype} [${shape}] takes ${bytes}`);
  return { dtype: dtype as Dtype, shape, begin, end };
}

/**
 * Fill `out` with the elements from `offset` bytes into the file on.
 *
 * @returns `out`
 * @throws CaptureError `CAPTURE_INVALID` when the file ends before.
 */
export function readInto<A extends DtypeArray>(fd: number, path: string, offset: number, out: A): A {
  const bytes = new Uint8Array(out.buffer, out.byteOffset, out.byteLength);
  for (let done = 0; done < bytes.length; ) {
    // The system reads at most 2^31 - 4096 bytes at a time.
    const length = Math.min(bytes.length - done, 0x4000_0000);
    let read: number;
    try {
      read = readSync(fd, bytes, done, length, offset + done);
    } catch (cause) {
      throw invalid(path, `cannot be read (${(cause as Error).message})`, cause);
    }
    if (read === 0) throw invalid(path, `ends at byte ${offset + done}, before its last tensor`);
    done += read;
  }
  return out;
}

function invalid(path: string, what: string, cause?: unknown): CaptureError {
  const message = `${path} ${what}; restore the file from where it was copied, or capture again`;
  return new CaptureError("CAPTURE_INVALID", message, { cause });
}

const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const isSizes = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((n) => Number.isSafeInteger(n) && n >= 0);
