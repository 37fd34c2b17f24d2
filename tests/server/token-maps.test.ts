import { join } from "node:path";
import { expect, it } from "vitest";
import { chosenRows } from "../../src/analysis/rows/chosen.ts";
import { rowEntropy, rowMargin } from "../../src/analysis/statistics/row-entropy.ts";
import { openCapture } from "../../src/capture/folder/folder-source.ts";
import type { CaptureList } from "../../src/server/questions/captures.ts";
import type { RowColumns } from "../../src/server/questions/rows.ts";
import type { TokenRouting } from "../../src/server/questions/token.ts";
import type { UsageFacts } from "../../src/views/facts/usage.ts";
import { captureInto, PROMPTS, serving, temporaryFolder } from "./serving.ts";

const EXPERTS = 16;

/** A capture and the server's address of it. @param long enough rows for a second level of detail. */
async function stored(long = false) {
  const folder = temporaryFolder();
  const prompts = long ? [{ prompt: "a b c d e f g h ".repeat(90) }] : PROMPTS;
  await captureInto(join(folder, "run1"), prompts);
  const server = await serving({ folders: [folder] });
  const { captures } = await server.json<CaptureList>("/api/captures");
  const capture = await openCapture(join(folder, "run1"));
  return { ...server, capture, at: `/api/captures/${captures[0]!.id}` };
}

it("tells one token's routing in every layer", async () => {
  const { json, capture, at, get } = await stored();
  const row = capture.rows.length - 1;
  const token = await json<TokenRouting>(`${at}/tokens/${row}`);
  expect(token).toMatchObject({
    row,
    position: capture.rows.position[row],
    tokenId: capture.rows.tokenId[row],
    text: capture.rows.text[row],
    phase: capture.rows.phase[row],
    label: capture.rows.label[row],
  });
  expect(token.layers).toEqual(
    [0, 1, 2, 3].map((layer) => {
      const { ids, weights } = chosenRows(capture, layer, row, row + 1);
      const logits = capture.routerLogits.rows(layer, row, row + 1);
      return {
        layer,
        experts: [...ids],
        weights: [...weights!],
        entropy: rowEntropy(logits)[0],
        margin: rowMargin(logits, ids)[0],
      };
    }),
  );
  const beyond = await get(`${at}/tokens/${row + 1}`);
  expect(beyond.status).toBe(400);
});

it("counts the usage of the rows that used an expert", async () => {
  const { json, capture, at, get } = await stored();
  const [layer, expert] = [2, capture.expertIds.get(2)!.data[0]!];
  const { layers } = await json<UsageFacts>(`${at}/usage?layer=${layer}&expert=${expert}`);
  const { row } = await json<RowColumns>(`${at}/rows?layer=${layer}&expert=${expert}`);
  expect(layers[layer]!.rows).toBe(row.length);
  expect(layers[layer]!.counts[expert]).toBe(row.length);
  const expected = new Array<number>(EXPERTS).fill(0);
  for (const of of row) for (const id of chosenRows(capture, 3, of, of + 1).ids) expected[id]!++;
  expect(layers[3]!.counts).toEqual(expected);
  expect((await get(`${at}/usage?layer=2`)).status).toBe(400);
  expect((await get(`${at}/usage?layer=2&expert=16`)).status).toBe(400);
});

it("draws a layer's experts by token, in tiles of mean weights", async () => {
  const { get, capture, at } = await stored(true);
  const rows = capture.rows.length;
  expect(rows).toBeGreaterThan(1024);
  const tile = async (level: number, index: number) => {
    const response = await get(`${at}/experts/1/${level}/${index}`);
    const [experts, cells] = response.headers.get("x-shape")!.split(",").map(Number);
    return { experts, cells: cells!, values: new Float32Array(await response.arrayBuffer()) };
  };
  const first = await tile(0, 0);
  expect([first.experts, first.cells]).toEqual([EXPERTS, 1024]);
  const { ids, weights } = chosenRows(capture, 1, 0, rows);
  const weightOf = (row: number, expert: number) => {
    const rank = [...ids.subarray(2 * row, 2 * row + 2)].indexOf(expert);
    return rank < 0 ? 0 : weights![2 * row + rank]!;
  };
  for (const row of [0, 17, 1023])
    for (let e = 0; e < EXPERTS; e++)
      expect(first.values[e * 1024 + row]).toBe(Math.fround(weightOf(row, e)));

  const coarse = await tile(1, 0);
  expect(coarse.cells).toBe(Math.ceil(rows / 2));
  for (const cell of [0, 300, coarse.cells - 1])
    for (let e = 0; e < EXPERTS; e++) {
      const own = [2 * cell, 2 * cell + 1].filter((row) => row < rows);
      const mean = own.reduce((sum, row) => sum + weightOf(row, e), 0) / own.length;
      expect(coarse.values[e * coarse.cells + cell]).toBeCloseTo(mean, 6);
    }
  expect((await get(`${at}/experts/1/9/0`)).status).toBe(400);
});
