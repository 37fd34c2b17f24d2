/** A GGUF file taken apart, to be changed by what it means and put together again. */
export interface GgufDocument {
  entries: Entry[];
  tensors: Tensor[];
  /** All tensors' data, from where they begin. */
  data: Buffer;
  /** How many there are by the file's word, where that is a lie. */
  said?: { readonly tensors: bigint; readonly entries: bigint };
}

export interface Entry {
  key: string;
  type: number;
  value: Value;
}

export type Scalar = number | bigint | boolean | string;
export type Value = Scalar | List;

export interface List {
  type: number;
  items: Scalar[];
  /** In place of the items, in a list of lists. */
  lists?: readonly List[];
}

interface Tensor {
  name: string;
  shape: bigint[];
  type: number;
  offset: bigint;
}

/** GGUF's value types. */
export const TYPE = {
  u8: 0,
  i8: 1,
  u16: 2,
  i16: 3,
  u32: 4,
  i32: 5,
  f32: 6,
  bool: 7,
  string: 8,
  array: 9,
  u64: 10,
  i64: 11,
  f64: 12,
} as const;

const BYTES: Readonly<Record<number, number>> = {
  [TYPE.u8]: 1,
  [TYPE.i8]: 1,
  [TYPE.u16]: 2,
  [TYPE.i16]: 2,
  [TYPE.u32]: 4,
  [TYPE.i32]: 4,
  [TYPE.f32]: 4,
  [TYPE.bool]: 1,
  [TYPE.u64]: 8,
  [TYPE.i64]: 8,
  [TYPE.f64]: 8,
};
const ALIGNMENT = 32;

export const isList = (value: Value): value is List => typeof value === "object";

export function parse(file: Buffer): GgufDocument {
  let at = 4 + 4;
  const skip = (bytes: number) => {
    at += bytes;
    return at - bytes;
  };
  const u32 = () => file.readUInt32LE(skip(4));
  const u64 = () => file.readBigUInt64LE(skip(8));
  const text = () => {
    const length = Number(u64());
    const from = skip(length);
    return file.toString("utf8", from, from + length);
  };
  const scalar = (type: number): Scalar => {
    if (type === TYPE.string) return text();
    const from = skip(BYTES[type]!);
    if (type === TYPE.bool) return file[from] !== 0;
    if (type === TYPE.f32) return file.readFloatLE(from);
    if (type === TYPE.f64) return file.readDoubleLE(from);
    if (type === TYPE.u64) return file.readBigUInt64LE(from);
    if (type === TYPE.i64) return file.readBigInt64LE(from);
    const bytes = BYTES[type]!;
    return type % 2 === 0 ? file.readUIntLE(from, bytes) : file.readIntLE(from, bytes);
  };
  const value = (type: number): Value => {
    if (type !== TYPE.array) return scalar(type);
    const element = u32();
    return { type: element, items: Array.from({ length: Number(u64()) }, () => scalar(element)) };
  };
  const [tensors, keys] = [Number(u64()), Number(u64())];
  const entries = Array.from({ length: keys }, (): Entry => {
    const key = text();
    const type = u32();
    return { key, type, value: value(type) };
  });
  return {
    entries,
    tensors: Array.from({ length: tensors }, () => ({
      name: text(),
      shape: Array.from({ length: u32() }, u64),
      type: u32(),
      offset: u64(),
    })),
    data: file.subarray(Math.ceil(at / ALIGNMENT) * ALIGNMENT),
  };
}

/** @param alignment of the data behind the header, as the file says it. */
export function write({ entries, tensors, data, said }: GgufDocument, alignment: number = ALIGNMENT): Buffer {
  const parts: Buffer[] = [];
  const bytes = (length: number, put: (buffer: Buffer) => void) => {
    const buffer = Buffer.alloc(length);
    put(buffer);
    parts.push(buffer);
  };
  const u32 = (n: number) => bytes(4, (b) => b.writeUInt32LE(n));
  const u64 = (n: number | bigint) => bytes(8, (b) => b.writeBigUInt64LE(BigInt.asUintN(64, BigInt(n))));
  const text = (s: string) => {
    const encoded = encode(s);
    u64(encoded.length);
    parts.push(encoded);
  };
  const list = ({ type, items, lists }: List) => {
    u32(type);
    u64((lists ?? items).length);
    for (const each of lists ?? []) list(each);
    if (!lists) for (const item of items) scalar(type, item);
  };
  const scalar = (type: number, value: Scalar) => {
    if (type === TYPE.string) return text(String(value));
    const number = typeof value === "string" ? value.length : value;
    if (type === TYPE.f32) return bytes(4, (b) => b.writeFloatLE(Number(number)));
    if (type === TYPE.f64) return bytes(8, (b) => b.writeDoubleLE(Number(number)));
    const size = BYTES[type] ?? 4;
    const whole = typeof number === "bigint" ? number : BigInt(Math.trunc(Number(number)) || 0);
    bytes(8, (b) => b.writeBigUInt64LE(BigInt.asUintN(64, whole)));
    parts.push(parts.pop()!.subarray(0, size));
  };
  parts.push(Buffer.from("GGUF"));
  u32(3);
  u64(said?.tensors ?? tensors.length);
  u64(said?.entries ?? entries.length);
  for (const { key, type, value } of entries) {
    text(key);
    u32(type);
    if (isList(value)) list(value);
    else scalar(type, value);
  }
  for (const { name, shape, type, offset } of tensors) {
    text(name);
    u32(shape.length);
    for (const n of shape) u64(n);
    u32(type);
    u64(offset);
  }
  const header = Buffer.concat(parts);
  const padding = Buffer.alloc((alignment - (header.length % alignment)) % alignment);
  return Buffer.concat([header, padding, data]);
}

/** As UTF-8; U+DC80 to U+DCFF alone stand for bytes that are none, as Python's `surrogateescape` has them. */
function encode(s: string): Buffer {
  if (!/[\udc80-\udcff]/u.test(s)) return Buffer.from(s);
  return Buffer.concat(
    [...s].map((c) => (/[\udc80-\udcff]/u.test(c) ? Buffer.of(c.charCodeAt(0) & 0xff) : Buffer.from(c))),
  );
}
