import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, inject, it } from "vitest";
import type { NamedStream } from "../../../src/core/streams.ts";
import type { GraphTaps } from "../../../src/engines/llama/graph/graph-taps.ts";
import { STREAMS_BY_NAME, tapsByName, valuesOf } from "./by-name.ts";
import { lookAt } from "./look.ts";

interface Architecture {
  readonly architecture: string;
  /** `blk.0,1,2.ffn_gate_inp.weight` is in three layers. */
  readonly tensors: Readonly<Record<string, readonly number[]>>;
}

const architectures = JSON.parse(
  readFileSync(join(import.meta.dirname, "architectures.json"), "utf8"),
) as Readonly<Record<string, Architecture>>;

/** What is not proven, by architecture and stream: which layers, and words of the reason. */
const REFUSED: Readonly<Record<string, Partial<Record<NamedStream, { layers: number[]; why: RegExp }>>>> = {
  // Hyper-connections: four streams between layers.
  deepseek4: {
    hidden_states: { layers: [0, 1, 2, 3], why: /hands on a tensor of \[512, 4, 5\]/ },
    // Keys of one position and of several, compressed, in one product.
    attention: { layers: [2, 3], why: /a key is not one position/ },
  },
  hy_v4: { hidden_states: { layers: [0, 1, 2, 3], why: /hands on a tensor of \[128, 4, 5\]/ } },
  qwen4exp: { hidden_states: { layers: [0, 1, 2, 3], why: /hands on a tensor of \[64, 4, 5\]/ } },
  // AltUp: four predictions of the stream.
  gemma3n: { hidden_states: { layers: [...Array(22).keys()], why: /hands on a tensor of \[64, 5, 4\]/ } },
  // From the second block of layers on, each layer reads the outputs of all blocks.
  "kimi-k3": { hidden_states: { layers: [2, 3], why: /hands on \d+ tensors to later layers/ } },
};

/** The description gives layer 2 a router that llama.cpp does not run: experts are in every second layer. */
const IDLE_ROUTERS: Readonly<Record<string, readonly number[]>> = { "ernie4_5-moe": [2] };

/** A dense network that runs for every token beside the experts. */
const DENSE_BESIDE: Readonly<Record<string, readonly number[]>> = { "gemma4-moe": [0, 1, 2, 3, 4] };

/** Streams with names that llama.cpp gives to something else, or to nothing, in these architectures. */
const NAMED_OTHERWISE: Readonly<Record<string, readonly NamedStream[]>> = {
  // The next layer's input, and the output's: `l_out` under another name.
  step35: ["hidden_states"],
  // The chunk experts, which run after the routed ones and are chosen from the same scores.
  grovemoe: ["expert_ids", "expert_weights", "expert_outputs"],
};

function layersWith({ tensors }: Architecture, part: string): number[] {
  return Object.keys(tensors)
    .filter((name) => name.endsWith(`.${part}`))
    .flatMap((name) => /blk\.([\d,]+)\./.exec(name)![1]!.split(",").map(Number))
    .sort((a, b) => a - b);
}

const refusedOf = (taps: GraphTaps, stream: NamedStream) =>
  [...taps.of(stream)].filter(([, proof]) => "refused" in proof) as [number, { refused: string }][];

const folder = mkdtempSync(join(tmpdir(), "moescope-architectures-"));
beforeAll(() => {
  execFileSync(inject("python"), [join(import.meta.dirname, "write_architectures.py"), "write", folder]);
}, 120_000);
afterAll(() => rmSync(folder, { recursive: true }));

describe.each(Object.entries(architectures))("%s", (name, architecture) => {
  it("has every stream of every layer proven, or refused for the reason that is known", async () => {
    const looked = await lookAt(join(folder, `${name}.gguf`));
    try {
      const taps = looked.tapsOf(looked.native);
      const routed = layersWith(architecture, "ffn_gate_inp.weight");
      const idle = IDLE_ROUTERS[name] ?? [];
      expect([...taps.of("hidden_states").keys()]).toEqual([...Array(looked.shape.layers).keys()]);
      for (const stream of ["router_logits", "expert_ids", "expert_weights", "expert_outputs"] as const)
        expect([...taps.of(stream).keys()], stream).toEqual(routed);
      expect([...taps.of("shared_expert_output").keys()]).toEqual(
        (DENSE_BESIDE[name] ?? layersWith(architecture, "ffn_down_shexp.weight")).filter(
          (layer) => !idle.includes(layer),
        ),
      );
      for (const stream of STREAMS_BY_NAME) {
        const expected = REFUSED[name]?.[stream];
        const ofExperts = stream.startsWith("expert_") || stream === "router_logits";
        const refused = refusedOf(taps, stream);
        expect(
          refused.map(([layer]) => layer),
          stream,
        ).toEqual(expected?.layers ?? (ofExperts ? idle : []));
        for (const [, { refused: why }] of refused) if (expected) expect(why).toMatch(expected.why);
      }
    } finally {
      looked.close();
    }
  });

  it("is proven where llama.cpp's names lead too", async () => {
    const looked = await lookAt(join(folder, `${name}.gguf`));
    try {
      const taps = looked.tapsOf(looked.native);
      const named = tapsByName(taps.graph);
      for (const stream of STREAMS_BY_NAME) {
        if (NAMED_OTHERWISE[name]?.includes(stream)) continue;
        for (const [layer, proof] of taps.of(stream)) {
          const byName = named.get(`${stream} ${layer}`);
          if ("proven" in proof && byName !== undefined)
            expect(valuesOf(taps.graph, proof.proven.node.index), `${stream} ${layer}`).toBe(byName);
        }
      }
    } finally {
      looked.close();
    }
  });
});
