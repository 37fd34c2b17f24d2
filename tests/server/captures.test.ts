import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { expertUsage } from "../../src/analysis/expert-usage.ts";
import { chosenRows } from "../../src/analysis/rows/chosen.ts";
import { rowEntropy, rowMargin } from "../../src/analysis/statistics/row-entropy.ts";
import type { Capture } from "../../src/capture/capture.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import type { CaptureDetails } from "../../src/server/questions/capture.ts";
import type { CaptureList } from "../../src/server/questions/captures.ts";
import type { MapFacts } from "../../src/server/questions/map.ts";
import type { RowColumns } from "../../src/server/questions/rows.ts";
import type { AnalysisOverview, LayerAnalysis } from "../../src/views/facts/analysis.ts";
import type { UsageFacts } from "../../src/views/facts/usage.ts";
import { captureInto, PROMPTS, type Serving, serving, temporaryFolder } from "./serving.ts";

interface Stored extends Serving {
  readonly capture: Capture;
  /** Address of the capture. */
  readonly at: string;
}

async function stored(prompts = PROMPTS, maxTokens = 4): Promise<Stored> {
  const folder = temporaryFolder();
  await captureInto(join(folder, "run1"), prompts, maxTokens);
  const server = await serving({ folders: [folder] });
  const { captures } = await server.json<CaptureList>("/api/captures");
  return {
    ...server,
    capture: await openCapture(join(folder, "run1")),
    at: `/api/captures/${captures[0]!.id}`,
  };
}

async function array(response: Response) {
  const types = { float32: Float32Array, uint16: Uint16Array, int32: Int32Array, uint8: Uint8Array };
  const ArrayType = types[response.headers.get("x-dtype") as keyof typeof types];
  const shape = response.headers.get("x-shape")!.split(",").map(Number);
  return { shape, data: new ArrayType(await response.arrayBuffer()) };
}

describe("captures", () => {
  it("are listed with what their manifests say", async () => {
    const { json, capture } = await stored();
    const { captures, broken } = await json<CaptureList>("/api/captures");
    expect(broken).toEqual([]);
    expect(captures).toHaveLength(1);
    expect(captures[0]).toMatchObject({
      name: "run1",
      origin: "folder",
      rows: capture.rows.length,
      samples: PROMPTS.length,
      labels: ["code", "text"],
      complete: true,
      missing: 0,
      model: { name: "fake-moe", moe: { experts: 16, topK: 2 } },
    });
    expect(captures[0]!.streams.map(({ name, layers, widths }) => [name, layers, widths])).toEqual([
      ["router_logits", [0, 1, 2, 3], [16, 16, 16, 16]],
      ["expert_ids", [0, 1, 2, 3], [2, 2, 2, 2]],
      ["expert_weights", [0, 1, 2, 3], [2, 2, 2, 2]],
    ]);
  });

  it("tell where each sample begins, and what was generated", async () => {
    const { json, at, capture } = await stored();
    const details = await json<CaptureDetails>(at);
    expect(details.firstRows).toEqual(PROMPTS.map((_, sample) => capture.rows.sample.indexOf(sample)));
    expect(details.promptTokens).toEqual(capture.samples.map(({ promptTokens }) => promptTokens));
    expect(details.outputs.map(({ text, tokens, reason }) => [text, tokens, reason])).toEqual(
      PROMPTS.map(() => ["abcd", 4, "length"]),
    );
    expect(details.run).toMatchObject({ maxTokens: 4, sampling: { temperature: 0 } });
  });

  it("give their rows in pages", async () => {
    const { json, at, capture } = await stored();
    const { rows } = capture;
    const seen: RowColumns[] = [];
    for (let from: number | null = 0; from !== null; from = seen.at(-1)!.next)
      seen.push(await json<RowColumns>(`${at}/rows?from=${from}&limit=7`));
    expect(seen.every(({ total }) => total === rows.length)).toBe(true);
    expect(seen.flatMap(({ row }) => row)).toEqual(Array.from({ length: rows.length }, (_, i) => i));
    expect(seen.flatMap(({ tokenId }) => tokenId)).toEqual([...rows.tokenId]);
    expect(seen.flatMap(({ position }) => position)).toEqual([...rows.position]);
    expect(seen.flatMap(({ text }) => text)).toEqual(rows.text);
    expect(seen.flatMap(({ phase }) => phase)).toEqual(rows.phase);
  });

  it("find rows by label, phase, text and expert", async () => {
    const { json, at, capture } = await stored();
    const { rows } = capture;
    const indices = async (query: string) => (await json<RowColumns>(`${at}/rows?${query}`)).row;
    const where = (test: (row: number) => boolean) =>
      Array.from({ length: rows.length }, (_, row) => row).filter(test);
    const { label, phase, text } = rows;
    expect(await indices("label=code&phase=generated")).toEqual(
      where((row) => label[row] === "code" && phase[row] === "generated"),
    );
    expect(await indices("sample=1&search=A")).toEqual(
      where((row) => rows.sample[row] === 1 && text[row] === "a"),
    );
    const { ids } = chosenRows(capture, 2, 0, rows.length);
    const expert = ids[0]!;
    const using = where((row) => ids.subarray(row * 2, row * 2 + 2).includes(expert));
    expect(using.length).toBeGreaterThan(1);
    expect(await indices(`layer=2&expert=${expert}`)).toEqual(using);
  });

  it("give columns, the vocabulary and streams as arrays", async () => {
    const { get, json, at, capture } = await stored();
    const { rows } = capture;
    for (const [column, values] of [
      ["sample", rows.sample],
      ["position", rows.position],
      ["token_id", rows.tokenId],
      ["phase", Uint8Array.from(rows.phase, (phase) => (phase === "prompt" ? 0 : 1))],
    ] as const)
      expect(await array(await get(`${at}/rows/${column}`))).toEqual({ shape: [rows.length], data: values });
    const { tokenId, text } = await json<{ tokenId: number[]; text: string[] }>(`${at}/vocabulary`);
    const textOf = new Map(tokenId.map((id, i) => [id, text[i]]));
    expect(Array.from(rows.tokenId, (id) => textOf.get(id))).toEqual(rows.text);
    for (const stream of capture.streams) {
      const whole = capture.stream(stream).get(3)!;
      expect(await array(await get(`${at}/streams/${stream}/3`))).toEqual({
        shape: whole.dims,
        data: whole.data,
      });
      const part = capture.stream(stream).rows(3, 5, 9);
      expect(await array(await get(`${at}/streams/${stream}/3?from=5&to=9`))).toEqual({
        shape: part.dims,
        data: part.data,
      });
    }
  });

  it("answer ranges of bytes as HTTP wants it", async () => {
    const { get, at, capture } = await stored();
    const bytes = Buffer.from(capture.routerLogits.get(1)!.data.buffer as ArrayBuffer).subarray(0);
    const path = `${at}/streams/router_logits/1`;
    const range = async (value: string, of = path) => {
      const response = await get(of, { headers: { range: value } });
      return [
        response.status,
        response.headers.get("content-range"),
        Buffer.from(await response.arrayBuffer()),
      ];
    };
    const size = bytes.length;
    expect(await range("bytes=10-99")).toEqual([206, `bytes 10-99/${size}`, bytes.subarray(10, 100)]);
    expect(await range("bytes=64-")).toEqual([206, `bytes 64-${size - 1}/${size}`, bytes.subarray(64)]);
    expect(await range("bytes=-6")).toEqual([
      206,
      `bytes ${size - 6}-${size - 1}/${size}`,
      bytes.subarray(size - 6),
    ]);
    expect(await range(`bytes=${size - 2}-${size + 50}`)).toEqual([
      206,
      `bytes ${size - 2}-${size - 1}/${size}`,
      bytes.subarray(size - 2),
    ]);
    // What no range says, or several at once, is answered with everything.
    for (const other of ["bytes=0-3,8-9", "rows=0-3", "bytes=-", "bytes=9-3", "bytes=a-b"])
      expect(await range(other)).toEqual([200, null, bytes]);
    expect((await range(`bytes=${size}-`))[0]).toBe(416);
    expect((await range("bytes=-0")).slice(0, 2)).toEqual([416, `bytes */${size}`]);
    // Whoever goes on with a part of another version gets the whole.
    const etag = (await get(path, { method: "HEAD" })).headers.get("etag")!;
    const goOn = (condition: string) => get(path, { headers: { range: "bytes=4-", "if-range": condition } });
    expect((await goOn(etag)).status).toBe(206);
    expect((await goOn('"of yesterday"')).status).toBe(200);
    expect((await get(path, { headers: { range: "bytes=4-", "if-none-match": etag } })).status).toBe(304);
    // The same for an array that is kept whole.
    const column = Buffer.from(capture.rows.tokenId.slice().buffer as ArrayBuffer);
    expect(await range("bytes=3-8", `${at}/rows/token_id`)).toEqual([
      206,
      `bytes 3-8/${column.length}`,
      column.subarray(3, 9),
    ]);
    expect((await range("bytes=999999-", `${at}/rows/token_id`))[0]).toBe(416);
  });

  it("are not sent again while they have not changed", async () => {
    const { get, at, folder } = await stored();
    const first = await get(`${at}/usage`);
    const etag = first.headers.get("etag")!;
    const again = await get(`${at}/usage`, { headers: { "if-none-match": `"other", ${etag}` } });
    expect([again.status, await again.text()]).toEqual([304, ""]);
    const { rmSync } = await import("node:fs");
    rmSync(join(folder, "run1"), { recursive: true });
    await captureInto(join(folder, "run1"), PROMPTS.slice(0, 2));
    const changed = await get(`${at}/usage`, { headers: { "if-none-match": etag } });
    expect(changed.status).toBe(200);
    expect(changed.headers.get("etag")).not.toBe(etag);
  });
});

describe("what follows from a capture", () => {
  it("is the analysis' own usage, whole or of some rows", async () => {
    const { json, at, capture } = await stored();
    const whole = expertUsage(capture);
    const usage = await json<UsageFacts>(`${at}/usage`);
    expect(usage.layers.map(({ counts }) => counts)).toEqual(
      [...whole.layers.values()].map(({ counts }) => [...counts]),
    );
    const code = await json<UsageFacts>(`${at}/usage?label=code`);
    expect(code.layers.map(({ rows, counts, weights }) => [rows, counts, weights])).toEqual(
      [...whole.layers.values()].map(({ byLabel }) => {
        const { rows, counts, weights } = byLabel.get("code")!;
        return [rows, [...counts], [...weights!]];
      }),
    );
    const [prompt, generated] = await Promise.all(
      ["prompt", "generated"].map((phase) => json<UsageFacts>(`${at}/usage?phase=${phase}`)),
    );
    expect(generated!.layers[0]!.rows).toBe(PROMPTS.length * 3);
    expect(
      prompt!.layers.map(({ counts }, i) => counts.map((n, e) => n + generated!.layers[i]!.counts[e]!)),
    ).toEqual(usage.layers.map(({ counts }) => counts));
  });

  it("is drawn from tiles, at every level of detail", async () => {
    const prompts = Array.from({ length: 30 }, (_, i) => "abcdefghij".repeat(8) + i);
    const { get, json, at, capture } = await stored(prompts, 0);
    const rows = capture.rows.length;
    expect(rows).toBeGreaterThan(2048);
    const facts = await json<MapFacts>(`${at}/map`);
    expect(facts).toMatchObject({ rows, layers: [0, 1, 2, 3], tileCells: 1024, levels: 3 });
    const tile = async (measure: string, level: number, index: number) =>
      array(await get(`${at}/map/${measure}/${level}/${index}`));
    const logits = capture.routerLogits.get(2)!;
    const { ids } = chosenRows(capture, 2, 0, rows);
    const exact = { entropy: rowEntropy(logits), margin: rowMargin(logits, ids) };
    for (const measure of ["entropy", "margin"] as const) {
      const second = await tile(measure, 0, 1);
      expect(second.shape).toEqual([4, 1024]);
      expect([...second.data.slice(2 * 1024, 3 * 1024)]).toEqual([
        ...Float32Array.from(exact[measure].subarray(1024, 2048)),
      ]);
      const whole = await tile(measure, 2, 0);
      const cells = Math.ceil(rows / 4);
      expect(whole.shape).toEqual([4, cells]);
      const mean = (from: number) => {
        const part = Float32Array.from(exact[measure].subarray(from, from + 4));
        return part.reduce((sum, value) => sum + value, 0) / part.length;
      };
      for (const cell of [0, 1, 300, cells - 1])
        expect(whole.data[2 * cells + cell]).toBeCloseTo(mean(4 * cell), 5);
    }
    // A draft reads some neighbours in the middle of each cell.
    const draft = array(await get(`${at}/map/entropy/2/0?rows=2`));
    const last = Math.ceil(rows / 4) - 1;
    for (const cell of [0, 1, 300, last]) {
      const inCell = Math.min(4, rows - 4 * cell);
      const first = 4 * cell + Math.floor((inCell - Math.min(2, inCell)) / 2);
      const part = exact.entropy.subarray(first, first + Math.min(2, inCell));
      const mean = part.reduce((sum, value) => sum + value, 0) / part.length;
      expect((await draft).data[2 * (last + 1) + cell]).toBeCloseTo(mean, 5);
    }
    const experts = await tile("top_expert", 1, 0);
    for (const cell of [0, 17, 1023]) {
      const pair = [ids[4 * cell]!, ids[4 * cell + 2]!];
      // Of two that are as frequent, the lower.
      expect(experts.data[2 * 1024 + cell]).toBe(Math.min(...pair));
    }
    expect((await get(`${at}/map/entropy/0/9`)).status).toBe(400);
    expect((await get(`${at}/map/entropy/3/0`)).status).toBe(400);
  });

  it("is analysed once, and comes layer by layer", async () => {
    const { json, get, at } = await stored();
    const settled = async <T>(path: string) => {
      for (;;) {
        const response = await get(path);
        if (response.status !== 202) return (await response.json()) as T;
      }
    };
    const overview = await settled<AnalysisOverview>(`${at}/analysis`);
    expect(overview).toMatchObject({ format: "moescope.analysis/3", experts: 16, topK: 2 });
    expect(overview.layers).toHaveLength(4);
    expect(overview.layers[0]!.tokenPreferences).toBeNull();
    const layer = await settled<LayerAnalysis>(`${at}/analysis/2`);
    expect(layer.tokenPreferences.experts).toHaveLength(16);
    expect(layer.usage.experts).toEqual(overview.layers[2]!.usage.experts);
    expect(await json(`${at}/analysis/9`)).toMatchObject({ error: { code: "UNKNOWN_LAYER" } });
  });

  it("is compared with another capture", async () => {
    const { json, at, folder } = await stored();
    await captureInto(join(folder, "run2"));
    const { captures } = await json<CaptureList>("/api/captures");
    const [a, b] = captures.map(({ id }) => id);
    expect(await json(`/api/compare?a=${a}&b=${b}`)).toMatchObject({
      exact: 1,
      onlyA: 0,
      onlyB: 0,
      moved: [],
    });
    await captureInto(join(folder, "other"), ["something else"]);
    const other = (await json<CaptureList>("/api/captures")).captures.find(({ name }) => name === "other")!;
    expect(await json(`/api/compare?a=${a}&b=${other.id}`)).toMatchObject({
      error: { code: "INVALID_ARGUMENT", message: expect.stringContaining("cannot be aligned") },
    });
    expect(await json(`${at}/coactivation/9`)).toMatchObject({ error: { code: "UNKNOWN_LAYER" } });
  });
});
