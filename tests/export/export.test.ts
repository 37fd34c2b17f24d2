import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, inject, it } from "vitest";
import { expertUsage } from "../../src/analysis/expert-usage.ts";
import type { Capture } from "../../src/capture/capture.ts";
import { MemorySink } from "../../src/capture/memory.ts";
import { streamSpec } from "../../src/core/streams.ts";
import { expertLoad } from "../../src/export/expert-load.ts";
import { exportCapture } from "../../src/export/export-capture.ts";
import type { ExportFormat } from "../../src/export/formats.ts";
import { usageTable } from "../../src/export/usage-table.ts";
import { npyBytes } from "../../src/formats/npy.ts";
import { load } from "../../src/run/load.ts";
import { temporaryFolder } from "../models/temporary-folder.ts";
import { drive, type SyntheticOptions, syntheticRun } from "../store/synthetic.ts";

const synthetic = (options: SyntheticOptions = {}): Promise<Capture> =>
  drive(syntheticRun(options), new MemorySink());

/** What numpy and pandas read of a capture's export. */
async function exported(capture: Capture, format: ExportFormat, name: string) {
  const path = join(await temporaryFolder(), name);
  await exportCapture(capture, format, path);
  return python([path])[name];
}

const python = (paths: readonly string[]) =>
  JSON.parse(
    execFileSync(inject("python"), [join(import.meta.dirname, "read_exports.py"), ...paths], {
      maxBuffer: 2 ** 28,
    }).toString(),
  );

const hex = (data: ArrayBufferView) =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex");

describe("routed experts", () => {
  it.each([8, 300])("are [token, layer, k] in numpy, of %d experts", async (experts) => {
    const capture = await synthetic({ experts, moeLayers: [1, 3], lengths: [9, 0, 4, 7] });
    const read = await exported(capture, "routed-experts", "routed");
    const array = read["routed_experts.npy"];
    expect(array).toMatchObject({
      dtype: experts <= 256 ? "uint8" : "uint16",
      shape: [20, 4, 2],
      fortran: false,
    });
    const Type = experts <= 256 ? Uint8Array : Uint16Array;
    const expected = new Type(20 * 4 * 2);
    for (const [layer, { data }] of capture.expertIds)
      data.forEach((id, i) => {
        expected[(Math.floor(i / 2) * 4 + layer) * 2 + (i % 2)] = id;
      });
    expect(array.hex).toBe(hex(expected));
    expect(read["index.json"]).toMatchObject({
      moe_layers: [1, 3],
      experts,
      samples: [
        { sample: 0, from: 0, to: 9 },
        { sample: 2, from: 9, to: 13 },
        { sample: 3, from: 13, to: 20 },
      ],
    });
  });

  it("of a generation have every token but the last, as vLLM returns them", async () => {
    const llm = await load("models/demo/demo-moe.gguf", { threads: 1 });
    try {
      const capture = await llm.capture("def f(x):", { maxTokens: 5, ignoreEos: true });
      const { samples } = (await exported(capture, "routed-experts", "routed"))["index.json"];
      const { promptTokens } = capture.samples[0]!;
      expect(capture.outputs[0]!.tokens).toHaveLength(5);
      expect(samples).toEqual([
        { sample: 0, label: null, prompt_tokens: promptTokens, from: 0, to: promptTokens + 5 - 1 },
      ]);
    } finally {
      await llm.close();
    }
  });

  it("are refused where positions or layers are missing", async () => {
    const llm = await load("models/demo/demo-moe.gguf", { threads: 1 });
    try {
      const to = join(await temporaryFolder(), "routed");
      const last = await llm.capture("def f(x):", { select: { last: 2 } });
      await expect(exportCapture(last, "routed-experts", to)).rejects.toThrow(/no row for position 0/);
      const some = await llm.capture("def f(x):", { layers: [0, 2] });
      await expect(exportCapture(some, "routed-experts", to)).rejects.toThrow(/no routing of layer 1/);
    } finally {
      await llm.close();
    }
  });
});

it("expert load is [layers, experts] with zeros for dense layers", async () => {
  const capture = await synthetic({ experts: 8, moeLayers: [1, 3] });
  const read = await exported(capture, "expert-load", "load.json");
  expect(read).toEqual(JSON.parse(JSON.stringify(expertLoad(capture.model, expertUsage(capture)))));
  expect(read.logical_count.map((layer: number[]) => layer.reduce((a, b) => a + b, 0))).toEqual([
    0, 16, 0, 16,
  ]);
  expect(read.moe_layers).toEqual([1, 3]);
});

describe("usage tables", () => {
  it.each(["csv", "parquet"] as const)("are read by pandas as %s", async (kind) => {
    const capture = await synthetic({ experts: 8, lengths: [6, 5, 4] });
    const read = await exported(capture, `usage-${kind}`, `usage.${kind}`);
    const table = [...usageTable(expertUsage(capture))].map((row) => ({
      ...row,
      // CSV has no null; `all` tells the lines over all rows from samples without a label.
      label: kind === "csv" ? (row.label ?? "") : row.label,
    }));
    expect(table).toHaveLength(2 * 8 * (1 + 3));
    expect(read.rows).toHaveLength(table.length);
    table.forEach((row, i) => {
      for (const [name, value] of Object.entries(row))
        if (typeof value === "number") expect(read.rows[i][name]).toBeCloseTo(value, 12);
        else expect(read.rows[i][name], name).toEqual(value);
    });
    expect(read.dtypes).toMatchObject({ share: "float64", all: "bool" });
    if (kind === "parquet") expect(read.dtypes).toMatchObject({ layer: "int32", count: "int64" });
  });

  it("quote what a label may hold", async () => {
    const llm = await load("models/demo/demo-moe.gguf", { threads: 1 });
    try {
      const label = 'a "b", c\r\nd';
      const capture = await llm.capture([
        { prompt: "x", label },
        { prompt: "y", label: "" },
      ]);
      const { rows } = await exported(capture, "usage-csv", "usage.csv");
      expect(new Set(rows.map((row: { label: string }) => row.label))).toEqual(new Set(["", label]));
    } finally {
      await llm.close();
    }
  });
});

describe("npy", () => {
  it("has every stream as [rows, layers, width]", async () => {
    const capture = await synthetic({ experts: 300, lengths: [9, 4] });
    const read = await exported(capture, "npy", "arrays");
    const { rows } = capture;
    expect(read["sample.npy"]).toMatchObject({ dtype: "int32", hex: hex(rows.sample) });
    expect(read["position.npy"].hex).toBe(hex(rows.position));
    expect(read["token_id.npy"].hex).toBe(hex(rows.tokenId));
    for (const name of capture.streams) {
      const layers = [...capture.stream(name).keys()];
      const width = capture.stream(name).width(layers[0]!);
      const { dtype, shape, hex: bytes } = read[`${name}.npy`];
      expect(dtype).toBe(streamSpec(name).type);
      expect(shape).toEqual([rows.length, layers.length, width]);
      expect(read["index.json"].streams[name]).toEqual({ shape, layers });
      const size = bytes.length / (rows.length * layers.length);
      layers.forEach((layer, i) => {
        const data = hex(capture.stream(name).get(layer)!.data);
        for (let row = 0; row < rows.length; row++)
          expect(bytes.slice((row * layers.length + i) * size).slice(0, size)).toBe(
            data.slice(row * size, (row + 1) * size),
          );
      });
    }
  });

  it("is read in pieces that do not grow with the capture", async () => {
    const capture = await synthetic({ lengths: [20_000, 30_000], moeLayers: [1], streams: ["expert_ids"] });
    const to = join(await temporaryFolder(), "arrays");
    await exportCapture(capture, "npy", to);
    const { routedExperts } = await import("../../src/export/routed-experts.ts");
    const pieces = [...npyBytes(routedExperts(capture).array)];
    expect(Math.max(...pieces.map(({ length }) => length))).toBeLessThan(2 ** 16);
    expect(pieces.length).toBeGreaterThan(10);
    expect((await readFile(join(to, "expert_ids.npy"))).length).toBe(128 + 50_000 * 2 * 2);
  });
});
