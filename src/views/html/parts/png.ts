import { deflateSync } from "node:zlib";
import type { Rgb } from "../../colours.ts";

/**
 * An image of one pixel a cell as a `data:` URL: of all formats a browser shows, indexed PNG keeps a map of 60 layers
 * and 512 experts smallest (https://www.w3.org/TR/png-3/).
 *
 * @param pixels `[height, width]` row-major, indices into the palette; index 0 is transparent.
 * @param palette at most 255 colours, for the indices from 1.
 */
export function pngDataUrl(
  pixels: Uint8Array,
  width: number,
  height: number,
  palette: readonly Rgb[],
): string {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  // 8 bits an index, indexed colour; compression, filter and interlace methods are 0.
  header.set([8, 3, 0, 0, 0], 8);
  // Each line begins with its filter: none.
  const lines = Buffer.alloc(height * (width + 1));
  for (let y = 0; y < height; y++)
    lines.set(pixels.subarray(y * width, (y + 1) * width), y * (width + 1) + 1);
  const file = Buffer.concat([
    Buffer.from("\x89PNG\r\n\x1a\n", "latin1"),
    chunk("IHDR", header),
    chunk("PLTE", Buffer.from([0, 0, 0, ...palette.flat()])),
    chunk("tRNS", Buffer.from([0])),
    chunk("IDAT", deflateSync(lines, { level: 9 })),
    chunk("IEND", Buffer.alloc(0)),
  ]);
  return `data:image/png;base64,${file.toString("base64")}`;
}

function chunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, "latin1"), data]);
  const out = Buffer.alloc(12 + data.length);
  out.writeUInt32BE(data.length, 0);
  body.copy(out, 4);
  out.writeUInt32BE(crc32(body), 8 + data.length);
  return out;
}

/** `zlib.crc32` is not in every Node 20. */
function crc32(bytes: Uint8Array): number {
  let crc = 0xffffffff;
  for (const byte of bytes) {
    crc ^= byte;
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0xedb88320 : crc >>> 1;
  }
  return (crc ^ 0xffffffff) >>> 0;
}
