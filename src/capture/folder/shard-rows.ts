import { CaptureError } from "../../core/errors.ts";
import { NO_TOKEN } from "../../core/row-means.ts";
import { PHASES, type RowLabels } from "../../core/rows.ts";
import { schema } from "../../core/schema.ts";
import { ROW_COLUMNS } from "../../formats/row-tensors.ts";
import {
  DTYPES,
  type Dtype,
  type DtypeArray,
  readHeader,
  readInto,
  type TensorData,
} from "../../formats/safetensors.ts";
import { type OutputRecord, outputRecord } from "./output-record.ts";

/**
 * The labels of a shard's rows as tensors: columns `rows.sample`, `rows.position`, `rows.token_id` (I32) and
 * `rows.phase` (U8, index into `prompt`, `generated`), and the text of the tokens that no earlier shard has:
 * `tokens.id` and `tokens.end` (I32; where the token's text ends) into `tokens.text` (U8, UTF-8). Earlier versions put
 * the samples that ended there too, as JSON in `outputs` (U8); now the journal has them.
 */
export interface ShardRows {
  readonly labels: RowLabels;
  /** Tokens that are new in this shard, with their text. */
  readonly tokens: ReadonlyMap<number, string>;
  /** Of earlier versions: the samples that ended and have all their rows in this shard and those before. */
  readonly outputs: readonly OutputRecord[];
}

export function rowTensors({ labels, tokens, outputs }: ShardRows): TensorData[] {
  const texts = [...tokens.values()].map((text) => Buffer.from(text));
  let end = 0;
  const ends = Int32Array.from(texts, ({ length }) => {
    end += length;
    return end;
  });
  const column = <D extends Dtype>(name: string, dtype: D, data: DtypeArray<D>) => ({
    name,
    dtype,
    shape: [data.length],
    data,
  });
  const label = (of: keyof RowLabels) => column(ROW_COLUMNS[of].name, ROW_COLUMNS[of].dtype, labels[of]);
  return [
    label("sample"),
    label("position"),
    label("tokenId"),
    column("tokens.id", "I32", Int32Array.from(tokens.keys())),
    column("tokens.end", "I32", ends),
    // Bytes last: the columns before them stay aligned.
    label("phase"),
    column("tokens.text", "U8", Uint8Array.from(Buffer.concat(texts))),
    ...(outputs.length > 0
      ? [column("outputs", "U8", Uint8Array.from(Buffer.from(JSON.stringify(outputs))))]
      : []),
  ];
}

/**
 * Read what {@link rowTensors} made.
 *
 * @param rows how many there must be.
 * @param samples how many samples the capture has.
 * @param means whether its rows are means, which are no token's own.
 * @throws CaptureError `CAPTURE_INVALID` for a tensor that is absent, of another type or length, or holds a value
 * out of range.
 */
export function readShardRows(
  fd: number,
  path: string,
  rows: number,
  samples: number,
  means = false,
): ShardRows {
  const { tensors } = readHeader(fd, path);
  const column = <D extends Dtype>(name: string, dtype: D, length?: number): DtypeArray<D> => {
    const entry = tensors.get(name);
    if (!entry) throw invalid(path, `has no tensor "${name}"`);
    const wrong =
      entry.dtype !== dtype || entry.shape.length !== 1 || entry.shape[0] !== (length ?? entry.shape[0]);
    if (wrong)
      throw invalid(
        path,
        `has ${entry.dtype} [${entry.shape}] as "${name}", not ${dtype} [${length ?? "any"}]`,
      );
    return readInto(fd, path, entry.offset, new DTYPES[dtype](entry.shape[0]!) as DtypeArray<D>);
  };
  const within = <A extends Int32Array | Uint8Array>(name: string, data: A, limit: number, least = 0): A => {
    const row = data.findIndex((value) => value < least || value >= limit);
    if (row >= 0) throw invalid(path, `has ${data[row]} in "${name}", row ${row}; ${limit - 1} is the most`);
    return data;
  };
  const label = <L extends keyof RowLabels>(of: L, limit: number, least = 0) => {
    const { name, dtype } = ROW_COLUMNS[of];
    return within(name, column(name, dtype, rows) as RowLabels[L], limit, least);
  };
  const ofToken = (of: "position" | "tokenId") =>
    means ? label(of, NO_TOKEN + 1, NO_TOKEN) : label(of, 2 ** 31);
  const labels = {
    sample: label("sample", samples),
    position: ofToken("position"),
    tokenId: ofToken("tokenId"),
    phase: label("phase", PHASES.length),
  };
  const ids = column("tokens.id", "I32");
  const ends = column("tokens.end", "I32", ids.length);
  const text = Buffer.from(column("tokens.text", "U8").buffer);
  const tokens = new Map<number, string>();
  let begin = 0;
  ids.forEach((id, i) => {
    const end = ends[i]!;
    if (end < begin || end > text.length)
      throw invalid(path, `has ${end} in "tokens.end", where no text ends`);
    tokens.set(id, text.toString("utf8", begin, end));
    begin = end;
  });
  const outputs = tensors.has("outputs") ? parseOutputs(column("outputs", "U8"), path, samples) : [];
  return { labels, tokens, outputs };
}

const outputRecords = schema((z) => z.array(outputRecord()));

function parseOutputs(bytes: Uint8Array, path: string, samples: number): ShardRows["outputs"] {
  try {
    const outputs = outputRecords().parse(JSON.parse(Buffer.from(bytes).toString()));
    if (outputs.every(({ sample }) => sample < samples)) return outputs;
  } catch {
    // Said below: what is wrong with JSON in a tensor helps nobody.
  }
  throw invalid(path, `has "outputs" that are none of ${samples} samples'`);
}

function invalid(path: string, what: string): CaptureError {
  const message = `${path} ${what}; restore the file from where it was copied, or capture again`;
  return new CaptureError("CAPTURE_INVALID", message);
}
