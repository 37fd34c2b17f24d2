import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, it } from "vitest";
import type { Plan } from "../../src/core/plan.ts";
import { parseRows, takeRows } from "../../src/engines/vllm/rows-file.ts";
import type { TensorData } from "../../src/formats/safetensors.ts";
import { LAYERS, labelled, METADATA, plan, rowsBytes } from "./rows.ts";

const folder = mkdtempSync(join(tmpdir(), "moescope-rows-"));
afterAll(() => rmSync(folder, { recursive: true }));

const columns = labelled(3, [7, 8, 9], [5, 6, 7]);
const labels = columns.slice(0, 4);

describe("a rows file", () => {
  it("is read as a batch, and deleted", async () => {
    const path = join(folder, "rows.safetensors");
    writeFileSync(path, rowsBytes(columns));
    const batch = await takeRows(path, plan);
    expect(batch.rows).toBe(3);
    expect([...batch.sample]).toEqual([3, 3, 3]);
    expect([...batch.position]).toEqual([5, 6, 7]);
    expect([...batch.tokenId]).toEqual([7, 8, 9]);
    expect([...batch.phase]).toEqual([0, 0, 0]);
    expect([...batch.streams.get("router_logits")!.keys()]).toEqual(LAYERS);
    expect(batch.streams.get("router_logits")!.get(2)!.slice(4, 8)).toEqual(
      Float32Array.of(2008, 2008.25, 2008.5, 2008.75),
    );
    expect(existsSync(path)).toBe(false);
  });

  it("may hold more than is asked for, in another order", () => {
    const only = { ...plan, streams: [{ name: "router_logits" as const, layers: [2] }] };
    const { streams } = parseRows(rowsBytes(columns.toReversed()), "here", only);
    expect([...streams.get("router_logits")!.keys()]).toEqual([2]);
    expect(streams.get("router_logits")!.get(2)![0]).toBe(2007);
  });

  it.each([
    ["F32", Float32Array.of(1.5, -2, 0.25, 65504, 1, 2, 3, 4)],
    ["BF16", Uint16Array.of(0x3fc0, 0xc000, 0x3e80, 0x4780, 0x3f80, 0x4000, 0x4040, 0x4080)],
    ["F16", Uint16Array.of(0x3e00, 0xc000, 0x3400, 0x7bff, 0x3c00, 0x4000, 0x4200, 0x4400)],
  ] as const)("may hold %s wherever they lie", (dtype, data) => {
    const one = { ...plan, streams: [{ name: "hidden_states" as const, layers: [0] }] };
    const short = labelled(0, [1, 2]).slice(0, 4);
    const tensors = [...short, { name: "hidden_states.0", dtype, shape: [2, 4], data }];
    const whole = rowsBytes(tensors);
    const expected = Float32Array.of(1.5, -2, 0.25, dtype === "BF16" ? 65536 : 65504, 1, 2, 3, 4);
    for (const shift of [0, 1, 2, 3, 7]) {
      // Where the file begins in its buffer decides what is aligned.
      const moved = new Uint8Array(whole.length + shift).subarray(shift);
      moved.set(whole);
      for (const bytes of [moved, Buffer.from(moved.buffer, shift)])
        expect(parseRows(bytes, "here", one).streams.get("hidden_states")!.get(0)).toEqual(expected);
    }
  });

  it("holds expert ids as U16", () => {
    const one: Plan = { ...plan, streams: [{ name: "expert_ids", layers: [1] }] };
    const ids = {
      name: "expert_ids.1",
      dtype: "U16",
      shape: [3, 2],
      data: Uint16Array.of(1, 2, 3, 4, 5, 300),
    };
    const { streams } = parseRows(rowsBytes([...labels, ids as TensorData]), "here", one);
    expect(streams.get("expert_ids")!.get(1)).toEqual(Uint16Array.of(1, 2, 3, 4, 5, 300));
  });

  const without = (name: string) => columns.filter((column) => column.name !== name);
  const instead = (name: string, change: Partial<TensorData>) =>
    columns.map((column) => (column.name === name ? { ...column, ...change } : column));
  it.each<[string, Uint8Array<ArrayBuffer>, RegExp]>([
    [
      "of another format",
      rowsBytes(columns, { ...METADATA, format: "moescope.rows/1" }),
      /format "moescope.rows\/1"/,
    ],
    ["without a format", rowsBytes(columns, {}), /format "undefined"/],
    ["without a stream", rowsBytes(labels), /lack "router_logits" of layer 0/],
    ["without a layer", rowsBytes(without("router_logits.2")), /lack "router_logits" of layer 2/],
    [
      "with fewer rows of a layer",
      rowsBytes(instead("router_logits.2", { shape: [2, 6] })),
      /lack "router_logits" of layer 2/,
    ],
    ["without labels", rowsBytes(without("rows.token_id")), /no labels "rows.token_id"/],
    ["without samples", rowsBytes(without("rows.sample")), /rows/],
    [
      "with too few labels",
      rowsBytes(instead("rows.position", { shape: [2], data: Int32Array.of(1, 2) })),
      /no labels "rows.position"/,
    ],
    [
      "with labels of another type",
      rowsBytes(instead("rows.phase", { dtype: "U16", data: Uint16Array.of(0, 0, 0) })),
      /no labels "rows.phase"/,
    ],
    [
      "with ids for logits",
      rowsBytes(instead("router_logits.2", { dtype: "U16", data: new Uint16Array(12) })),
      /as U16/,
    ],
    ["that is empty", new Uint8Array(0), /are damaged: .* 0 bytes/],
    ["that is cut off", rowsBytes(columns).slice(0, -1), /are damaged: .* truncated/],
    ["that is noise", Uint8Array.from({ length: 64 }, (_, i) => (i * 37) % 256), /are damaged/],
  ])("%s is refused, and stays", async (_, bytes, message) => {
    const path = join(folder, "bad.safetensors");
    writeFileSync(path, bytes);
    await expect(takeRows(path, plan)).rejects.toMatchObject({
      code: "ENGINE_FAILED",
      message: expect.stringMatching(message),
    });
    expect(existsSync(path)).toBe(true);
  });

  it("is told from one that is not there", async () => {
    await expect(takeRows(join(folder, "none"), plan)).rejects.toMatchObject({ code: "ENGINE_FAILED" });
  });
});
