/**
 * Bytes that a run into a capture folder hands to the system, over the bytes of its rows (values and labels), for corpora
 * of growing size: what is written again with every shard shows as a ratio that grows. Linux tells the bytes of a process
 * (`wchar` in /proc/self/io), as `strace -f -e trace=write,pwrite64,writev,pwritev` counts them.
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FolderSink } from "../dist/index.js";

/** The demo model's routing: a row is 504 bytes of values and 13 of labels. */
const [layers, experts, topK, rowsASample] = [6, 16, 4, 16];
const rowBytes = layers * (experts * 4 + topK + topK * 4) + 13;

const numbers = Array.from({ length: layers }, (_, i) => i);
const moe = { layers: numbers, experts, topK, sharedExperts: 0, gating: null };
const names = { name: "none", source: "none", architecture: "none", quantization: "none" };
const sizes = { layers, hiddenSize: 64, vocabSize: 4096, contextLength: 512, parameters: 0, bytes: 0 };

const written = () => Number(/wchar: (\d+)/.exec(readFileSync("/proc/self/io", "utf8"))[1]);

/** Samples of {@link rowsASample} rows each, one after the other, into shards of `shardBytes`. */
export async function writtenPerByte(samples, shardBytes, parent = tmpdir()) {
  const folder = mkdtempSync(join(parent, "moescope-bench-"));
  const values = (Data, width) =>
    new Map(numbers.map((i) => [i, Data.from({ length: rowsASample * width }, (_, j) => (i + j) % experts)]));
  const streams = new Map([
    ["router_logits", values(Float32Array, experts)],
    ["expert_ids", values(Uint16Array, topK)],
    ["expert_weights", values(Float32Array, topK)],
  ]);
  const position = Int32Array.from({ length: rowsASample }, (_, i) => i);
  const before = written();
  const sink = new FolderSink(join(folder, "run"), shardBytes ? { shardBytes } : {});
  await sink.open({
    engine: { kind: "none", version: "" },
    model: { ...names, ...sizes, moe },
    streams: [...streams.keys()].map((name) => ({ name, layers: numbers })),
    samples: Array.from({ length: samples }, (_, i) => ({
      label: `domain ${i % 8}`,
      promptTokens: rowsASample,
    })),
    tokenText: (id) => ` token${id}`,
  });
  const finished = [];
  for (let i = 0; i < samples; i++) {
    const sample = new Int32Array(rowsASample).fill(i);
    const tokenId = Int32Array.from({ length: rowsASample }, (_, j) => (i * 31 + j * j * 7) % 4096);
    const labels = { sample, position, tokenId, phase: new Uint8Array(rowsASample) };
    await sink.write({ rows: rowsASample, ...labels, streams });
    const end = { sample: i, tokens: Int32Array.of(i % 4096), text: ` token${i % 4096}`, reason: "length" };
    finished.push(end);
    await sink.finish([end]);
  }
  await sink.close({ finished });
  const ratio = (written() - before) / (samples * rowsASample * rowBytes);
  rmSync(folder, { recursive: true });
  return Math.round(ratio * 1000) / 1000;
}
