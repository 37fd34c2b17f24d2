import { RequestError } from "../core/errors.ts";
import { describedDims } from "../core/plan.ts";
import { mostRows, type ResolvedSelection, type RowTest, rowTest } from "../core/row-selection.ts";
import type { RunHeader, RunRequest } from "../core/sink.ts";
import type { StreamName } from "../core/streams.ts";

/** At most so many rows and bytes a run brings: a sample may end before its `maxTokens`. */
export interface CaptureSize {
  readonly rows: number;
  /** Bytes of the values, by stream; of the pooled embeddings under `embeddings`. */
  readonly parts: ReadonlyMap<StreamName | "embeddings", number>;
  readonly bytes: number;
}

/** Where a capture is to go. */
export interface Room {
  /** As in "needs up to 3 GiB <where>". */
  readonly where: string;
  readonly bytes: number;
  /** What else to do than to capture less. */
  readonly instead?: string;
}

/**
 * How large the capture of a run will be, or `null` where its requests are not known.
 *
 * @param bytesOf a value of a stream.
 * @param samples the samples that are to run. Default: all.
 */
export function captureSize(
  { model, streams, request, embedding }: Pick<RunHeader, "model" | "streams" | "request" | "embedding">,
  bytesOf: (stream: StreamName) => number,
  samples?: readonly number[],
): CaptureSize | null {
  if (!request) return null;
  const rowsOf = sampleRows(request);
  const running = samples ?? [...request.prompts.keys()];
  const selected = running.reduce((sum, sample) => sum + rowsOf(sample), 0);
  const rows = Math.min(selected, request.maxRows ?? selected);
  const product = (dims: readonly number[]) => dims.reduce((all, size) => all * size, 1);
  const parts = new Map<StreamName | "embeddings", number>(
    streams.map(({ name, layers, dims }) => {
      const widths = layers.map((layer, i) => product(dims?.[i] ?? describedDims(model, name, layer)));
      return [name, rows * widths.reduce((sum, width) => sum + width, 0) * bytesOf(name)];
    }),
  );
  if (embedding) parts.set("embeddings", running.length * model.hiddenSize * Float32Array.BYTES_PER_ELEMENT);
  return { rows, parts, bytes: [...parts.values()].reduce((sum, bytes) => sum + bytes, 0) };
}

/**
 * Refuse a capture that cannot fit, before it starts.
 *
 * @param factor bytes that are needed for one that is kept.
 * @throws RequestError `CAPTURE_TOO_LARGE` naming its size and what to narrow.
 */
export function assertFits(size: CaptureSize | null, room: Room, factor = 1): void {
  if (!size || size.bytes * factor <= room.bytes) return;
  const [largest, bytes] = [...size.parts].reduce((a, b) => (b[1] > a[1] ? b : a));
  const less = ["layers", "select", ...(largest === "attention" ? ["attention.topKeys"] : [])].join(", ");
  throw new RequestError(
    "CAPTURE_TOO_LARGE",
    `the capture needs up to ${gib(size.bytes * factor)} ${room.where}, ${gib(room.bytes)} are free: ${size.rows} ` +
      `rows, of which ${largest} takes ${gib(bytes)}; narrow it with ${less}, or run fewer tokens` +
      (room.instead ? `, or ${room.instead}` : ""),
  );
}

function sampleRows(request: RunRequest): (sample: number) => number {
  const tests = new Map<ResolvedSelection, RowTest | null>();
  return (sample) => {
    const select = request.selects?.[sample] ?? request.select;
    if (!tests.has(select)) tests.set(select, rowTest(select));
    const rows = mostRows(select, tests.get(select)!, {
      tokens: request.prompts[sample]!,
      maxTokens: request.maxTokens,
    });
    return request.reduce === "mean" ? Math.min(rows, 1) : rows;
  };
}

const gib = (bytes: number) =>
  bytes < 2 ** 30 ? `${(bytes / 2 ** 20).toFixed(1)} MiB` : `${(bytes / 2 ** 30).toFixed(1)} GiB`;
