import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import * as fc from "fast-check";
import { describe, expect, test } from "vitest";
import { placeOnRanks } from "../../src/advice/expert-parallel.ts";
import { rebalanceExperts } from "../../src/advice/rebalance-experts.ts";
import { expertUsage } from "../../src/analysis/expert-usage.ts";
import { rankPlacementFacts } from "../../src/views/facts/rank-placement.ts";
import { captureOf, folderOf } from "../analysis/synthetic.ts";
import { runCli } from "../cli/run-cli.ts";

/** What DeepSeek's eplb.py gives; see `eplb.py` beside this file. */
const reference = JSON.parse(readFileSync(new URL("eplb.json", import.meta.url), "utf8")) as {
  weight: number[][];
  replicas: number;
  groups: number;
  nodes: number;
  ranks: number;
  physicalToLogical: number[][];
  logicalToPhysical: number[][][];
  replicaCounts: number[][];
}[];

describe("rebalanceExperts", () => {
  test.each(reference)(
    "is EPLB's for $replicas replicas, $groups groups, $nodes nodes, $ranks ranks",
    (of) => {
      const { weight, replicas, groups, nodes, ranks, ...wanted } = of;
      expect(rebalanceExperts(weight, { replicas, groups, nodes, ranks })).toEqual(wanted);
    },
  );

  test("places every expert, and every place has one", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 1000 }), { minLength: 24, maxLength: 24 }),
        fc.constantFrom([24, 1, 1, 4], [32, 4, 2, 8], [36, 3, 2, 12], [48, 6, 3, 6]),
        (load, [replicas, groups, nodes, ranks]) => {
          const layout = { replicas: replicas!, groups: groups!, nodes: nodes!, ranks: ranks! };
          const { physicalToLogical, logicalToPhysical, replicaCounts } = rebalanceExperts([load], layout);
          expect(physicalToLogical[0]).toHaveLength(replicas!);
          expect(new Set(physicalToLogical[0]).size).toBe(24);
          logicalToPhysical[0]!.forEach((places, expert) => {
            const own = places.filter((place) => place >= 0);
            expect(own).toHaveLength(replicaCounts[0]![expert]!);
            for (const place of own) expect(physicalToLogical[0]![place]).toBe(expert);
          });
        },
      ),
    );
  });

  test("says what does not divide", () => {
    const loads = [new Array<number>(16).fill(1)];
    const refused = (layout: Partial<Record<"replicas" | "ranks" | "nodes" | "groups", number>>) =>
      expect(() => rebalanceExperts(loads, { replicas: 16, ranks: 4, ...layout }));
    refused({ ranks: 3 }).toThrow("16 physical experts cannot be divided among 3 ranks");
    refused({ nodes: 3 }).toThrow("4 ranks cannot be divided among 3 nodes");
    refused({ replicas: 12 }).toThrow("12 places are too few for 16 experts");
    refused({ groups: 5 }).toThrow("16 experts cannot be divided into 5 groups");
    refused({ ranks: 0 }).toThrow("ranks must be a whole number from 1");
  });
});

test("measured usage is made more even", () => {
  const lengths = [40, 60];
  const ids = Uint16Array.from({ length: 200 }, (_, i) => (i % 3 === 0 ? 0 : (i * 7) % 8));
  const usage = expertUsage(
    captureOf({
      experts: 8,
      topK: 1,
      labels: [null, null],
      lengths,
      layers: [1, 4],
      streams: { expert_ids: ids },
    }),
  );
  const found = placeOnRanks(usage, { replicas: 12, ranks: 4 });
  expect(found).toMatchObject({ layers: [1, 4], rows: 100, layout: { nodes: 1, groups: 1 } });
  found.imbalance.forEach(({ layer, inOrder, placed }, i) => {
    expect(layer).toBe(found.layers[i]);
    expect(placed).toBeLessThan(inOrder!);
    // The busiest rank's load, counted once more.
    const { counts } = usage.layers.get(layer)!;
    const loads = [0, 1, 2, 3].map((rank) =>
      found.physicalToLogical[i]!.slice(3 * rank, 3 * rank + 3).reduce(
        (sum, expert) => sum + counts[expert]! / found.replicaCounts[i]![expert]!,
        0,
      ),
    );
    expect(placed).toBeCloseTo(Math.max(...loads) / 25, 12);
  });
  expect(placeOnRanks(usage, { replicas: 9, ranks: 3 }).imbalance[0]!.inOrder).toBeNull();
});

test("the command says it, and writes what SGLang reads", async () => {
  const folder = mkdtempSync(join(tmpdir(), "eplb-"));
  try {
    const ids = Uint16Array.from({ length: 300 }, (_, i) => (i % 3 === 0 ? 0 : (i * 7) % 8));
    const given = { experts: 8, topK: 1, labels: [null], lengths: [150], layers: [1, 3] };
    await folderOf({ ...given, streams: { expert_ids: ids } }, join(folder, "run"));
    const args = ["eplb", join(folder, "run"), "--ranks", "4", "--redundant", "4"];
    const map = join(folder, "map.json");
    const told = await runCli([...args, "--out", map]);
    expect(told).toMatchObject({ code: 0, stderr: "" });
    expect(told.stdout).toMatch(
      /12 experts a layer on 4 ranks of 1 node: 4 replicas, at most \d of one expert/,
    );
    const facts = rankPlacementFacts().parse(JSON.parse((await runCli([...args, "--json"])).stdout));
    expect(facts.layers).toEqual([1, 3]);
    for (const { inOrder, placed } of facts.imbalance) expect(placed).toBeLessThan(inOrder!);
    const location = JSON.parse(readFileSync(map, "utf8"));
    const inOrder = [0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3];
    const [first, second] = facts.physical_to_logical_map;
    // No other key: SGLang hands all of them on.
    expect(location).toEqual({ physical_to_logical_map: [inOrder, first, inOrder, second] });
    const odd = await runCli([...args, "--ranks", "5"]);
    expect(odd).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("cannot be divided among 5 ranks"),
    });
  } finally {
    rmSync(folder, { recursive: true });
  }
});
