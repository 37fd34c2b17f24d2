import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { expect, inject, test } from "vitest";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import { MemorySink } from "../../src/capture/memory.ts";
import { fromBfloat16, fromFloat16, toBfloat16, toFloat16 } from "../../src/formats/float-formats.ts";
import { capturePath } from "./folder.ts";
import { drive, syntheticRun, tokenText } from "./synthetic.ts";

const python = (script: string, args: readonly string[], input = "") =>
  JSON.parse(
    execFileSync(inject("python"), [join(import.meta.dirname, script), ...args], {
      input,
      maxBuffer: 2 ** 28,
    }).toString(),
  );

const hex = (data: ArrayBufferView) =>
  Buffer.from(data.buffer, data.byteOffset, data.byteLength).toString("hex");

test.each([1, 3000, 1e9])(
  "Python reads a folder with safetensors and pandas alone, shards of %d bytes",
  async (shardBytes) => {
    const folder = await capturePath();
    const run = syntheticRun({ experts: 300, lengths: [9, 4, 7] });
    await drive(run, new FolderSink(folder, { shardBytes }));
    const capture = await drive(run, new MemorySink());
    const read = python("read_capture.py", [folder]);
    const { rows } = capture;
    expect(read.columns).toEqual({
      row: Array.from({ length: rows.length }, (_, row) => row),
      sample: [...rows.sample],
      position: [...rows.position],
      token_id: [...rows.tokenId],
      text: [...rows.tokenId].map(tokenText),
      phase: rows.phase,
      label: rows.label,
    });
    expect(new Set(rows.phase)).toEqual(new Set(["prompt", "generated"]));
    expect(read.dtypes).toMatchObject({
      row: "int32",
      sample: "int32",
      position: "int32",
      token_id: "int32",
    });
    for (const name of capture.streams)
      for (const [layer, { type, dims, data }] of capture.stream(name))
        expect(read.streams[name][layer]).toEqual({ dtype: type, shape: dims, hex: hex(data) });
  },
);

test("streams of several axes have them in Python too", async () => {
  const folder = await capturePath();
  const streams = ["expert_outputs", "attention", "attention_keys", "activation:Qcur_normed"] as const;
  const run = syntheticRun({ streams, lengths: [9, 4] });
  await drive(run, new FolderSink(folder, { shardBytes: 3000 }));
  const capture = await drive(run, new MemorySink());
  const read = python("read_capture.py", [folder]);
  for (const name of streams)
    for (const [layer, { type, dims, data }] of capture.stream(name)) {
      expect(dims).toHaveLength(3);
      expect(read.streams[name][layer]).toEqual({ dtype: type, shape: dims, hex: hex(data) });
    }
});

test("ids of 8 experts are bytes in Python", async () => {
  const folder = await capturePath();
  const run = syntheticRun({ experts: 8 });
  await drive(run, new FolderSink(folder));
  const read = python("read_capture.py", [folder]);
  const ids = Uint8Array.from((await drive(run, new MemorySink())).expertIds.get(3)!.data);
  expect(read.streams.expert_ids[3]).toEqual({ dtype: "uint8", shape: [8, 2], hex: hex(ids) });
});

/** Every sign and exponent with the mantissas around each rounding step of both formats. */
function hardFloats(): Float32Array {
  const mantissas = [
    0, 1, 0xfff, 0x1000, 0x1001, 0x1fff, 0x2000, 0x3000, 0x7fff, 0x8000, 0x8001, 0xffff, 0x18000,
  ];
  for (let bit = 0; bit < 23; bit++) mantissas.push(1 << bit, 0x7fffff ^ (1 << bit), 0x7fffff >> bit);
  const bits: number[] = [];
  for (let top = 0; top < 512; top++)
    for (const mantissa of mantissas) bits.push(((top << 23) | mantissa) >>> 0);
  return new Float32Array(Uint32Array.from(bits).buffer);
}

test("float16 and bfloat16 are those of numpy and ml_dtypes, bit for bit", () => {
  const values = hardFloats();
  const expected = python("narrow_floats.py", [], hex(values));
  for (const [name, narrow, widen] of [
    ["float16", toFloat16, fromFloat16],
    ["bfloat16", toBfloat16, fromBfloat16],
  ] as const) {
    const bits = new Uint16Array(values.length);
    narrow(values, bits);
    const wide = widen(bits);
    const reference = new Float32Array(new Uint8Array(Buffer.from(expected[name].hex, "hex")).buffer);
    let nans = 0;
    for (let i = 0; i < values.length; i++)
      if (Number.isNaN(values[i])) {
        // Payloads of NaN are nobody's business; that it stays one is.
        expect(wide[i]).toBeNaN();
        nans++;
      } else if (bits[i] !== expected[name].bits[i] || !Object.is(wide[i], reference[i]))
        expect.fail(
          `${name} of ${values[i]}: bits ${bits[i]}, not ${expected[name].bits[i]}; back ${wide[i]}`,
        );
    expect(nans).toBeGreaterThan(100);
  }
});

test.each(["float16", "bfloat16"] as const)("a folder in %s", async (dtype) => {
  const folder = await capturePath();
  const run = syntheticRun({ lengths: [5, 6], interleaved: 2 });
  await drive(run, new FolderSink(folder, { dtype, shardBytes: 600 }));
  const memory = await drive(run, new MemorySink());
  const capture = await openCapture(folder);
  for (const name of ["router_logits", "hidden_states"] as const) {
    const exact = memory.stream(name).get(3)!;
    const stored = capture.stream(name).get(3)!;
    expect({ ...stored, data: null }).toEqual({ type: "float32", dims: exact.dims, data: null });
    expect(hex(stored.data)).toBe(python("narrow_floats.py", [], hex(exact.data))[dtype].hex);
  }
  expect(capture.expertIds.get(1)).toEqual(memory.expertIds.get(1));
  if (dtype === "float16")
    expect(python("read_capture.py", [folder]).streams.router_logits[1].dtype).toBe("float16");
});
