/**
 * What edits cost while tokens are generated: node bench/edits.mjs MODEL.gguf [ROUNDS]
 *
 * One process, one model; runs with and without edits take turns, and medians are compared. `nothing` is a second set of runs
 * without edits: what it differs by is noise.
 */
import { availableParallelism } from "node:os";
import { load } from "../dist/index.js";

const [, , path, rounds = "7"] = process.argv;
const TOKENS = 128;
const llm = await load(path, { threads: availableParallelism(), gpu: false });
const vector = new Float32Array(llm.info.hiddenSize).fill(0.01);
const layers = [...llm.info.moe.layers];
const CASES = {
  "none asked for": {},
  nothing: {},
  "ban in one layer": { edits: [{ ban: [0], layers: layers.slice(0, 1) }] },
  "ban in every layer": { edits: [{ ban: [0] }] },
  "bias in every layer": { edits: [{ bias: { 0: 0.1 } }] },
  "vector in one layer": { edits: [{ add: vector, layers: [layers[0]] }] },
};
const times = Object.fromEntries(Object.keys(CASES).map((name) => [name, []]));
for (let round = 0; round <= Number(rounds); round++)
  for (const [name, options] of Object.entries(CASES)) {
    const start = performance.now();
    await llm.capture([[1, 2, 3, 4]], { streams: [], ignoreEos: true, maxTokens: TOKENS, ...options });
    // The first round warms up.
    if (round > 0) times[name].push(performance.now() - start);
  }
await llm.close();
const median = (list) => [...list].sort((a, b) => a - b)[list.length >> 1];
const base = median(times["none asked for"]);
for (const [name, list] of Object.entries(times)) {
  const ms = median(list);
  console.log(`${name.padEnd(22)} ${(ms / TOKENS).toFixed(3)} ms a token  ${(ms / base).toFixed(3)}`);
}
