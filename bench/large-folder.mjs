import { FolderSink, route, tensor } from "../dist/index.js";

/** The shape of Qwen3-30B-A3B's routing, with half its layers. */
const [LAYERS, EXPERTS, TOP_K] = [24, 128, 8];
export const SHAPE = { layers: LAYERS, experts: EXPERTS, topK: TOP_K };
const LABELS = 8;
/** Rows of a sample; the second half counts as generated. */
const TOKENS = 256;
const VOCABULARY = 32_768;
/** Drawn once for each label: what takes time here is not the making of numbers. */
const TEXTS = 48;
const ROW_BYTES = LAYERS * (EXPERTS * 4 + TOP_K * (1 + 4));
const gating = {
  ...{ score: "softmax", chosenBy: "scores", normalize: true, scale: 1 },
  ...{ selectionBias: false, groups: null, weighted: "outputs" },
};

/** Texts of each label: their logits lean on the place in the text and a little on the label, the rest is noise. */
function draw() {
  const random = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  const ofPlace = Float32Array.from({ length: TOKENS * EXPERTS }, random);
  const ofLabel = Float32Array.from({ length: LABELS * EXPERTS }, () => 0.5 * random());
  return Array.from({ length: LABELS }, (_, label) =>
    Array.from({ length: TEXTS }, () => {
      const logits = ofPlace.map((lean, i) => lean + ofLabel[label * EXPERTS + (i % EXPERTS)] + random());
      const { ids, weights } = route(tensor("float32", [TOKENS, EXPERTS], logits), gating, TOP_K);
      return { router_logits: logits, expert_ids: ids.data, expert_weights: weights.data };
    }),
  );
}

/**
 * Write a capture folder of so many GiB with logits, ids and weights. Each layer of a sample has a text of its label
 * at random, so that paths through the layers are as manifold as in a large model.
 *
 * @returns its rows.
 */
export async function makeLargeFolder(folder, gib) {
  const samples = Math.ceil((gib * 2 ** 30) / ROW_BYTES / TOKENS);
  const texts = draw();
  const layers = Array.from({ length: LAYERS }, (_, layer) => layer);
  const names = ["router_logits", "expert_ids", "expert_weights"];
  const sink = new FolderSink(folder);
  await sink.open({
    engine: { kind: "llama.cpp", version: "bench" },
    model: {
      ...{ name: "bench", source: "bench", architecture: "qwen3moe", quantization: "F32" },
      ...{ layers: LAYERS, hiddenSize: 0, vocabSize: VOCABULARY, contextLength: TOKENS },
      ...{ parameters: 0, bytes: 0 },
      moe: { layers, experts: EXPERTS, topK: TOP_K, sharedExperts: 0, gating },
    },
    streams: names.map((name) => ({ name, layers })),
    samples: Array.from({ length: samples }, (_, i) => ({
      label: `label ${i % LABELS}`,
      promptTokens: TOKENS / 2,
    })),
    tokenText: (id) => ` ${id}`,
  });
  const pick = (from) => from[Math.floor(Math.random() * from.length)];
  for (let sample = 0; sample < samples; sample++) {
    const taken = layers.map((layer) => [layer, pick(texts[sample % LABELS])]);
    await sink.write({
      rows: TOKENS,
      sample: new Int32Array(TOKENS).fill(sample),
      position: Int32Array.from({ length: TOKENS }, (_, i) => i),
      // Few tokens are frequent, as in a language.
      tokenId: Int32Array.from({ length: TOKENS }, () => Math.floor(VOCABULARY ** Math.random()) - 1),
      phase: Uint8Array.from({ length: TOKENS }, (_, i) => (i < TOKENS / 2 ? 0 : 1)),
      streams: new Map(names.map((name) => [name, new Map(taken.map(([layer, of]) => [layer, of[name]]))])),
    });
  }
  await sink.close({ finished: [] });
  return samples * TOKENS;
}
