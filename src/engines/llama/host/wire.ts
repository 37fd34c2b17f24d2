import { Deserializer, Serializer } from "node:v8";

/**
 * Messages between two processes: a head, the message as V8 serialises it, and the buffer that holds its rows, which
 * goes beside it: behind it, or through a {@link RowPassage}.
 *
 * The head: bytes of the message (u32), where the rows are (u32), bytes of the rows (f64), their place (f64).
 */
const HEAD_BYTES = 24;
const ROWS = { none: 0, behind: 1, passage: 2 } as const;
/** The name under which a message refers to its rows. */
const ROWS_ID = 0;

/** Where rows go that do not go behind their message. */
export interface RowWriter {
  /** @returns where they lie, or `null` if there is no room. */
  put(rows: Uint8Array): number | null;
}

export interface RowReader {
  get(at: number, bytes: number): ArrayBuffer;
}

/** A message in pieces that follow each other. @param rows the buffer that arrays of the message are views of. */
export function encode(message: unknown, rows?: ArrayBuffer, writer?: RowWriter): Uint8Array[] {
  const serializer = new Serializer();
  serializer.writeHeader();
  if (rows) serializer.transferArrayBuffer(ROWS_ID, rows);
  serializer.writeValue(message);
  const body = serializer.releaseBuffer();
  const head = Buffer.alloc(HEAD_BYTES);
  const pieces: Uint8Array[] = [head, body];
  head.writeUInt32LE(body.byteLength, 0);
  if (rows) {
    const at = writer?.put(new Uint8Array(rows)) ?? null;
    head.writeUInt32LE(at === null ? ROWS.behind : ROWS.passage, 4);
    head.writeDoubleLE(rows.byteLength, 8);
    head.writeDoubleLE(at ?? 0, 16);
    if (at === null) pieces.push(new Uint8Array(rows));
  }
  return pieces;
}

/** Puts messages together from bytes as they come, in pieces of any size. */
export class MessageReader {
  readonly #rows: RowReader | null;
  #pieces: Buffer[] = [];
  #bytes = 0;
  /** Bytes the next message has at least. */
  #needed = HEAD_BYTES;

  constructor(rows: RowReader | null = null) {
    this.#rows = rows;
  }

  /** Bytes that are missing of the next message, or of its head. */
  get wanted(): number {
    return this.#needed - this.#bytes;
  }

  /** The messages that are complete with these bytes. */
  *push(piece: Buffer): Generator<unknown, void, void> {
    this.#pieces.push(piece);
    this.#bytes += piece.byteLength;
    while (this.#bytes >= this.#needed) {
      const all = this.#pieces.length === 1 ? this.#pieces[0]! : Buffer.concat(this.#pieces);
      const body = all.readUInt32LE(0);
      const place = all.readUInt32LE(4);
      const rows = all.readDoubleLE(8);
      const end = HEAD_BYTES + body + (place === ROWS.behind ? rows : 0);
      if (all.byteLength < end) {
        this.#pieces = [all];
        this.#needed = end;
        return;
      }
      this.#pieces = [all.subarray(end)];
      this.#bytes -= end;
      this.#needed = HEAD_BYTES;
      const message = new Deserializer(all.subarray(HEAD_BYTES, HEAD_BYTES + body));
      message.readHeader();
      if (place === ROWS.behind)
        message.transferArrayBuffer(ROWS_ID, Uint8Array.from(all.subarray(end - rows, end)).buffer);
      else if (place === ROWS.passage)
        message.transferArrayBuffer(ROWS_ID, this.#rows!.get(all.readDoubleLE(16), rows));
      yield message.readValue();
    }
  }
}
