import { seededRandom } from "../../src/analysis/statistics/randomization/random.ts";

/** A whole number from 0 to below `n`. */
type Below = (n: number) => number;

/** A place in a header that a mutation may change. */
interface Site {
  readonly at: number;
  readonly bytes: number;
  /** A `frame` is a count or a length: changed, it shifts all that follows, and most readers stop there. */
  readonly kind: "number" | "type" | "text" | "frame";
}

/** Bytes of a scalar by GGUF value type: u8, i8, u16, i16, u32, i32, f32, bool, (string, array), u64, i64, f64. */
const SCALAR_BYTES: Readonly<Record<number, number>> = {
  0: 1,
  1: 1,
  2: 2,
  3: 2,
  4: 4,
  5: 4,
  6: 4,
  7: 1,
  10: 8,
  11: 8,
  12: 8,
};
const STRING = 8;
const ARRAY = 9;
/** Sites of one array that are kept: the vocabulary would otherwise be most of them. */
const ARRAY_SITES = 3;

/** Every number, type and text of a good header, and where it ends. */
export function sitesOf(file: Buffer): { sites: Site[]; end: number } {
  const sites: Site[] = [];
  let at = 4;
  const site = (bytes: number, kind: Site["kind"], keep = true) => {
    if (keep) sites.push({ at, bytes, kind });
    at += bytes;
  };
  const text = (keep = true) => {
    const length = Number(file.readBigUInt64LE(at));
    site(8, "frame", keep);
    site(length, "text", keep && length > 0);
  };
  const value = (type: number, keep = true) => {
    if (type === STRING) text(keep);
    else if (type === ARRAY) {
      const element = file.readUInt32LE(at);
      const count = Number(file.readBigUInt64LE(at + 4));
      site(4, "type");
      site(8, "frame");
      for (let i = 0; i < count; i++) value(element, i < ARRAY_SITES);
    } else site(SCALAR_BYTES[type]!, "number", keep);
  };
  site(4, "frame");
  const tensors = Number(file.readBigUInt64LE(at));
  const keys = Number(file.readBigUInt64LE(at + 8));
  site(8, "frame");
  site(8, "frame");
  for (let i = 0; i < keys; i++) {
    text();
    const type = file.readUInt32LE(at);
    site(4, "type");
    value(type);
  }
  for (let i = 0; i < tensors; i++) {
    text();
    const dims = file.readUInt32LE(at);
    site(4, "number");
    for (let d = 0; d < dims; d++) site(8, "number");
    site(4, "type");
    site(8, "number");
  }
  return { sites, end: at };
}

/** Numbers are what passes a reader's checks and does its damage later. */
const WEIGHTED = [
  "number",
  "number",
  "number",
  "number",
  "number",
  "number",
  "text",
  "text",
  "type",
  "frame",
];

/** A copy of a good file with one to three of its header's places changed. Equal seeds, equal files. */
export function mutate(file: Buffer, seed: number): Buffer {
  const random = seededRandom(seed);
  const below: Below = (n) => Math.floor(random() * n);
  const { sites, end } = sitesOf(file);
  const out = Buffer.from(file);
  for (let times = 1 + below(3); times > 0; times--) {
    if (below(8) === 0) {
      const at = below(end);
      out[at] = out[at]! ^ (1 << below(8));
      continue;
    }
    const kind = WEIGHTED[below(WEIGHTED.length)];
    const candidates = sites.filter((site) => site.kind === kind);
    const site = candidates[below(candidates.length)]!;
    if (site.kind === "text") garble(out, site, below);
    else if (site.kind === "type") out.writeUInt32LE(below(45), site.at);
    else replaceNumber(out, site, below);
  }
  return out;
}

function garble(out: Buffer, { at, bytes }: Site, below: Below): void {
  const from = below(bytes);
  const how = below(4);
  for (let i = from; i < Math.min(bytes, from + 1 + below(8)); i++)
    out[at + i] = [below(256), 0x1b, 0, 0x30 + below(10)][how]!;
}

function replaceNumber(out: Buffer, { at, bytes }: Site, below: Below): void {
  const before = bytes === 8 ? out.readBigUInt64LE(at) : BigInt(out.readUIntLE(at, bytes));
  const values = [
    0n,
    1n,
    -1n,
    2n ** 31n - 1n,
    2n ** 31n,
    2n ** 63n,
    10n ** 18n,
    before + 1n,
    before - 1n,
    before * 2n,
    before >> 1n,
    BigInt(below(600)),
  ];
  const value = BigInt.asUintN(8 * bytes, values[below(values.length)]!);
  if (bytes === 8) out.writeBigUInt64LE(value, at);
  else out.writeUIntLE(Number(value), at, bytes);
}
