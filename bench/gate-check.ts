import { readFileSync } from "node:fs";
import { planFor } from "../src/core/plan.ts";
import { modelShape } from "../src/engines/llama/graph/model-shape.ts";
import { CONTROL } from "../src/engines/llama/host/protocol.ts";
import { inspectFile } from "../src/engines/llama/model/gguf.ts";
import { makeAbort } from "../src/engines/llama/native/abort.ts";
import { findLibrary } from "../src/engines/llama/native/library.ts";
import { run } from "../src/engines/llama/run/run.ts";
import { Session } from "../src/engines/llama/run/session.ts";
import { GateCheck } from "../src/engines/llama/tap/gate-check.ts";
import { Tap } from "../src/engines/llama/tap/tap.ts";

/**
 * What proof costs: to read the graph at load (`look`), and to check, on the first rows of each layer, that experts and
 * weights are what the gate makes of its logits (`check`). Milliseconds of the thread that runs llama.cpp, which shares
 * its processor with nothing else then, and their share of loading and the first step.
 *
 *     npm run bench:gate-check -- MODEL.gguf [TOKENS, default 64]
 *
 * A process measures once: the second time the code would have been compiled. Linux only.
 */
const [path, tokens = "64"] = process.argv.slice(2);
if (!path) throw new Error("usage: npm run bench:gate-check -- MODEL.gguf [TOKENS]");

/** Of the main thread, in milliseconds. */
const processorTime = () =>
  Number(readFileSync(`/proc/self/task/${process.pid}/schedstat`, "utf8").split(" ")[0]) / 1e6;
const timed = <R>(work: () => R): [number, R] => {
  const began = processorTime();
  const result = work();
  return [processorTime() - began, result];
};

let checked = 0;
const check = GateCheck.prototype.check;
GateCheck.prototype.check = function (...given) {
  checked += timed(() => check.apply(this, given))[0];
};

let looked = 0;
let lookBegan: number | null = null;
const { look, setTargets } = Tap.prototype;
Tap.prototype.look = function (...given) {
  look.apply(this, given); // which sets targets too
  lookBegan = processorTime();
};
// The next targets are set when the graph has been read.
Tap.prototype.setTargets = function (...given) {
  setTargets.apply(this, given);
  if (lookBegan !== null) looked += processorTime() - lookBegan;
  lookBegan = null;
};

const model = await inspectFile(path);
const wallBegan = performance.now();
const [load, session] = timed(() =>
  Session.open({
    ...{ files: findLibrary(), gpu: false, gpuLibraries: [], placement: { gpuLayers: null, overrides: [] } },
    ...{ path, contextSize: 2048, parallel: 1, batchSize: 512, threads: 2, shape: modelShape(model) },
    ...{ kvType: "f16", flashAttention: "auto", strategy: "auto", abort: makeAbort() },
    purpose: {
      ...{ task: "generate", pooling: null, normalize: null, filePooling: null, fileCausal: null },
      ...{ classifier: false, encoder: false },
    },
    control: new SharedArrayBuffer(CONTROL.bytes),
  }),
);
const loadWall = performance.now() - wallBegan;
const context = {
  ...{ session, layers: model.layers, batchSize: 512, aborted: () => false, newTokens: () => [] },
};
const sampling = { temperature: 0, topK: 0, topP: 1, minP: 0, seed: 0, stop: [], ignoreEos: true };
const request = {
  tokens: new Int32Array(Number(tokens)).map((_, i) => 5 + (i % 200)),
  maxTokens: 0,
  sampling,
};
const step = () => timed(() => [...run(context, [request], planFor(model))])[0];
const first = step();
const ofFirst = checked;
step();
const ms = (value: number) => Number(value.toFixed(1));
console.log(
  JSON.stringify({
    ...{ load: ms(load), loadWall: ms(loadWall), look: ms(looked), firstStep: ms(first), check: ms(ofFirst) },
    later: ms(checked - ofFirst),
    share: Number(((looked + ofFirst) / (load + first)).toFixed(4)),
  }),
);
session.close();
