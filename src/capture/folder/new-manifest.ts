import { packageVersion } from "../../core/package-root.ts";
import type { RunHeader } from "../../core/sink.ts";
import { axesOf, streamSpec } from "../../core/streams.ts";
import type { Dtype } from "../../formats/safetensors.ts";
import { newEmbeddings } from "./embeddings.ts";
import type { FolderOptions } from "./folder-options.ts";
import { FORMAT } from "./format.ts";
import type { Manifest, StreamEntry } from "./manifest.ts";
import { recordOf } from "./run-record.ts";

const FLOATS = { float32: "F32", float16: "F16", bfloat16: "BF16" } as const;

/** The manifest of a run that has not brought a row yet. */
export function newManifest(
  header: RunHeader,
  {
    dtype,
    shardBytes,
    modelSha256,
  }: Required<Pick<FolderOptions, "dtype" | "shardBytes">> & { readonly modelSha256: string | null },
): Manifest {
  const { engine, model, samples, request, embedding } = header;
  // One byte an id is enough for the models of up to 256 experts, which are nearly all.
  const ids = (model.moe?.experts ?? 0) <= 256 ? "U8" : "U16";
  const stored = { float32: FLOATS[dtype], uint16: ids, int32: "I32" } as const satisfies Record<
    string,
    Dtype
  >;
  const streams = header.streams.map(({ name, layers, dims }): [string, StreamEntry] => {
    const [first, ...rest] = axesOf(name, dims?.[0]?.length ?? 1);
    const several = dims !== undefined && rest.length > 0;
    const entry: StreamEntry = {
      axes: ["rows", first!, ...rest],
      dtype: stored[streamSpec(name).type],
      layers: [...layers],
      ...(several && { dims: dims.map((sizes) => [...sizes]) }),
    };
    return [name, entry];
  });
  return {
    format: FORMAT,
    moescope: packageVersion,
    createdAt: new Date().toISOString(),
    engine: { name: engine.kind, version: engine.version },
    model: { ...model, sha256: modelSha256 },
    streams: Object.fromEntries(streams),
    shards: [],
    rows: 0,
    ...(request && { run: recordOf(request, shardBytes) }),
    ...(header.edits && { edits: header.edits.map((edit) => ({ ...edit })) }),
    samples: samples.map(({ label, promptTokens, media, edits }) => ({
      label,
      promptTokens,
      ...(media && { media: media.map((span) => ({ ...span })) }),
      ...(edits && { edits: edits.map((edit) => ({ ...edit })) }),
    })),
    outputs: [],
    ...(embedding && { embeddings: newEmbeddings(embedding) }),
    complete: false,
    missing: [],
  };
}
