import { EngineError } from "../../../core/errors.ts";

/** A line that announces a frame is a few tokens' texts long at most. */
const MAX_LINE_LENGTH = 2 ** 24;

/** The plugin writes a file at the latest when it has 64 MiB; one step of a large model with all its layers is more. */
const MAX_BODY_LENGTH = 2 ** 32;

/** One frame of the server's stream: its announcement, and the bytes that follow it. */
export interface Frame {
  readonly head: unknown;
  readonly body: Uint8Array<ArrayBuffer>;
}

/**
 * Split a response into frames: a JSON line, then as many bytes as its `bytes` says (none if it says nothing).
 *
 * @throws EngineError `ENGINE_FAILED` when the stream breaks off inside a frame.
 */
export async function* frames(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Frame, void, void> {
  const source = stream[Symbol.asyncIterator]();
  let buffer: Uint8Array = new Uint8Array(0);
  /** @returns whether there was more. */
  const pull = async () => {
    const { value, done } = await source.next();
    if (done) return false;
    buffer = buffer.length === 0 ? value : Buffer.concat([buffer, value]);
    return true;
  };
  try {
    for (;;) {
      let end = buffer.indexOf(10);
      while (end < 0) {
        if (buffer.length > MAX_LINE_LENGTH) throw broken("a line that does not end");
        if (!(await pull())) {
          if (buffer.length > 0) throw broken("a line without its end");
          return;
        }
        end = buffer.indexOf(10);
      }
      const head = parse(Buffer.from(buffer.subarray(0, end)).toString());
      buffer = buffer.subarray(end + 1);
      const length = (head as { bytes?: unknown }).bytes ?? 0;
      if (!isLength(length)) throw broken(`a frame of ${JSON.stringify(length)} bytes`);
      // Filled in place: joining what has come again and again would cost the square of a large file's size.
      const body = new Uint8Array(length);
      let filled = 0;
      while (filled < length) {
        if (buffer.length === 0 && !(await pull())) throw broken(`${filled} of ${length} bytes of rows`);
        const part = buffer.subarray(0, length - filled);
        body.set(part, filled);
        filled += part.length;
        buffer = buffer.subarray(part.length);
      }
      yield { head, body };
    }
  } finally {
    await source.return?.();
  }
}

function parse(line: string): unknown {
  try {
    const value = JSON.parse(line);
    if (typeof value === "object" && value !== null) return value;
  } catch {
    // Said below.
  }
  throw broken(`a line that is none of the protocol: ${line.slice(0, 100)}`);
}

const isLength = (value: unknown): value is number =>
  Number.isSafeInteger(value) && (value as number) >= 0 && (value as number) <= MAX_BODY_LENGTH;

const broken = (what: string) =>
  new EngineError("ENGINE_FAILED", `the connection to vLLM broke off with ${what}; try again`, {
    retryable: true,
  });
