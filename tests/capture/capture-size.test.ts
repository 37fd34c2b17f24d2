import { mkdir, mkdtemp, readdir, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { describe, expect, it } from "vitest";
import { assertFits, captureSize } from "../../src/capture/capture-size.ts";
import { FolderSink } from "../../src/capture/folder/folder-sink.ts";
import { MemorySink } from "../../src/capture/memory.ts";
import { availableMemory } from "../../src/core/available-memory.ts";
import type { RowSelection } from "../../src/core/row-selection.ts";
import type { RunHeader, Sink } from "../../src/core/sink.ts";
import { load } from "../../src/run/load.ts";
import { ggufOf } from "../fixtures/families.ts";

const PROMPTS = [[3, 4, 5, 6, 7], [8]];

/** The header of a run, and the rows and bytes that the run then brought. */
async function measured(streams: string[], maxTokens: number, select: RowSelection = {}) {
  const llm = await load(ggufOf("qwen3_moe"), { threads: 1, contextSize: 256 });
  let header: RunHeader;
  let [rows, bytes] = [0, 0];
  const sink: Sink<void> = {
    open(opened) {
      header = opened;
    },
    write(batch) {
      rows += batch.rows;
      for (const layers of batch.streams.values())
        for (const data of layers.values()) bytes += data.byteLength;
    },
    close() {},
  };
  await llm.capture(PROMPTS, { streams, maxTokens, select, ignoreEos: true, into: sink });
  await llm.close();
  return { header: header!, rows, bytes };
}

const inMemory = (stream: string) => (stream === "expert_ids" ? 2 : 4);

describe("the size of a capture is known before it runs", () => {
  const every = [
    "router_logits",
    "expert_ids",
    "expert_weights",
    "expert_outputs",
    "hidden_states",
    "attention",
    "activation:Qcur_normed",
  ];
  it.each([
    ["prompts", 0, {}],
    ["generated tokens too", 7, {}],
    ["those alone", 7, { phase: "generated" }],
    ["the last of each sample", 7, { last: 3 }],
    ["some positions", 7, { positions: [0, 2, 9, 200] }],
    ["some positions of a phase", 7, { phase: "prompt", positions: [0, 2, 9] }],
  ] as const)("%s", async (_, maxTokens, select) => {
    const { header, rows, bytes } = await measured(every, maxTokens, select);
    expect(captureSize(header, inMemory)).toMatchObject({ rows, bytes });
    expect(rows).toBeGreaterThan(0);
  });
});

describe("a capture that cannot fit is refused before it starts", () => {
  it("names its size, where it is most, and what to narrow", async () => {
    const { header, bytes } = await measured(["attention", "router_logits"], 4);
    const size = captureSize(header, inMemory);
    const room = { where: "of memory", bytes: bytes - 1, instead: "stream it to a folder with into" };
    expect(() => assertFits(size, room)).toThrowError(
      expect.objectContaining({
        name: "RequestError",
        code: "CAPTURE_TOO_LARGE",
        message: expect.stringMatching(
          /needs up to \d.* MiB of memory, .* free: 12 rows, of which attention takes .*layers, select, attention\.topKeys, .*into$/,
        ),
      }),
    );
    assertFits(size, { ...room, bytes });
  });

  it("in memory and in a folder, which is not made", async () => {
    // 2^30 tokens each: what would be 100 TB.
    const { header } = await measured(["hidden_states"], 0);
    const huge = { ...header, request: { ...header.request!, maxTokens: 2 ** 39 } };
    expect(() => new MemorySink().open(huge)).toThrowError(
      expect.objectContaining({ code: "CAPTURE_TOO_LARGE" }),
    );
    const parent = await mkdtemp(join(tmpdir(), "moescope-"));
    await expect(new FolderSink(join(parent, "run")).open(huge)).rejects.toMatchObject({
      code: "CAPTURE_TOO_LARGE",
      message: expect.stringContaining(parent),
    });
    expect(await readdir(parent)).toEqual([]);
  });
});

describe("available memory", () => {
  const GIB = 2 ** 30;

  async function system(files: Record<string, string>): Promise<string> {
    const root = await mkdtemp(join(tmpdir(), "moescope-"));
    for (const [path, text] of Object.entries(files)) {
      await mkdir(dirname(join(root, path)), { recursive: true });
      await writeFile(join(root, path), text);
    }
    return root;
  }

  it("is what the machine has left where nothing limits it", async () => {
    expect(availableMemory(await system({}), 5 * GIB)).toBe(5 * GIB);
    const unlimited = { "proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n" };
    expect(availableMemory(await system(unlimited), 5 * GIB)).toBe(5 * GIB);
  });

  it("is what the tightest control group leaves, its file cache counted as free", async () => {
    const root = await system({
      "proc/self/cgroup": "0::/outer/inner\n",
      "sys/fs/cgroup/outer/memory.max": `${4 * GIB}\n`,
      "sys/fs/cgroup/outer/memory.current": `${3 * GIB}\n`,
      "sys/fs/cgroup/outer/memory.stat": `anon ${GIB}\nfile ${2 * GIB}\nfile_mapped ${GIB}\n`,
      "sys/fs/cgroup/outer/inner/memory.max": "max\n",
      "sys/fs/cgroup/outer/inner/memory.current": `${3 * GIB}\n`,
    });
    expect(availableMemory(root, 16 * GIB)).toBe(3 * GIB);
  });

  it("reads the limits of control groups version 1", async () => {
    const root = await system({
      "proc/self/cgroup": "5:cpu:/job\n4:memory,hugetlb:/job\n",
      "sys/fs/cgroup/memory/job/memory.limit_in_bytes": `${2 * GIB}`,
      "sys/fs/cgroup/memory/job/memory.usage_in_bytes": `${GIB}`,
    });
    expect(availableMemory(root, 16 * GIB)).toBe(GIB);
  });
});
