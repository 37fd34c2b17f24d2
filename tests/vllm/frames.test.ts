import { describe, expect, it } from "vitest";
import { type Frame, frames } from "../../src/engines/vllm/server/frames.ts";

const body = Uint8Array.from({ length: 300 }, (_, i) => (i % 7 === 0 ? 10 : i));
const stream = Buffer.concat([
  Buffer.from(`{"type":"rows","bytes":${body.length}}\n`),
  body,
  Buffer.from('{"type":"ended","text":"é"}\n{"type":"rows","bytes":0}\n'),
  Buffer.from('{"type":"end"}\n'),
]);

async function* pieces(...parts: readonly Uint8Array[]) {
  yield* parts;
}

async function collect(source: AsyncIterable<Uint8Array>): Promise<Frame[]> {
  const found: Frame[] = [];
  for await (const frame of frames(source)) found.push(frame);
  return found;
}

const whole = [
  { head: { type: "rows", bytes: 300 }, body },
  { head: { type: "ended", text: "é" }, body: new Uint8Array(0) },
  { head: { type: "rows", bytes: 0 }, body: new Uint8Array(0) },
  { head: { type: "end" }, body: new Uint8Array(0) },
];

describe("frames", () => {
  it("are the same wherever the stream is split", async () => {
    expect(await collect(pieces(stream))).toEqual(whole);
    for (let at = 0; at <= stream.length; at++)
      expect(await collect(pieces(stream.subarray(0, at), stream.subarray(at)))).toEqual(whole);
    expect(await collect(pieces(...Array.from(stream, (byte) => Uint8Array.of(byte))))).toEqual(whole);
    expect(await collect(pieces())).toEqual([]);
  });

  it("that break off are an error at every byte but between two", async () => {
    const between = new Set([0]);
    for (const { head, body } of whole)
      between.add([...between].at(-1)! + Buffer.byteLength(JSON.stringify(head)) + 1 + body.length);
    for (let at = 0; at < stream.length; at++) {
      const cut = collect(pieces(stream.subarray(0, at)));
      if (between.has(at)) await expect(cut).resolves.toBeDefined();
      else await expect(cut).rejects.toMatchObject({ code: "ENGINE_FAILED", retryable: true });
    }
  });

  it.each([
    "no JSON\n",
    "[]]\n",
    "null\n",
    "7\n",
    '{"bytes":-1}\n',
    '{"bytes":1.5}\n',
    '{"bytes":"many"}\n',
    '{"bytes":1e300}\n',
    '{"bytes":9007199254740991}\n',
  ])("of another kind are an error: %j", async (line) => {
    await expect(collect(pieces(Buffer.from(line)))).rejects.toMatchObject({ code: "ENGINE_FAILED" });
  });

  it("with a line that never ends are not collected for ever", async () => {
    let sent = 0;
    async function* endless() {
      for (;;) {
        sent += 1 << 20;
        yield Buffer.alloc(1 << 20, "x");
      }
    }
    await expect(collect(endless())).rejects.toMatchObject({ code: "ENGINE_FAILED" });
    expect(sent).toBeLessThan(1 << 25);
  });

  it("end their source when they are left", async () => {
    let ended = false;
    async function* source() {
      try {
        yield stream;
      } finally {
        ended = true;
      }
    }
    for await (const _ of frames(source())) break;
    expect(ended).toBe(true);
  });
});
