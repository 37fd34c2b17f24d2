import { FolderSink, route, tensor } from "../dist/index.js";

/** The shape of Qwen3-30B-A3B's routing, with half its layers. */
export const SHAPE = { layers: 24, experts: 128, topK: 8, labels: 8 };
/** Rows of a drawn text, and of a batch; those of a sample of `makeLargeFolder`, the second half of them generated. */
const TOKENS = 256;
const VOCABULARY = 32_768;
/** Drawn once, for all labels together: what takes time here is not the making of numbers. */
const TEXTS = 384;
const gating = {
  ...{ score: "softmax", chosenBy: "scores", normalize: true, scale: 1 },
  ...{ selectionBias: false, groups: null, weighted: "outputs" },
};

/** Texts of each label: their logits lean on the place in the text and a little on the label, the rest is noise. */
function draw({ experts, topK, labels }) {
  const random = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
  const ofPlace = Float32Array.from({ length: TOKENS * experts }, random);
  const ofLabel = Float32Array.from({ length: labels * experts }, () => 0.5 * random());
  return Array.from({ length: labels }, (_, label) =>
    Array.from({ length: Math.ceil(TEXTS / labels) }, () => {
      const logits = ofPlace.map((lean, i) => lean + ofLabel[label * experts + (i % experts)] + random());
      const { ids, weights } = route(tensor("float32", [TOKENS, experts], logits), gating, topK);
      return { router_logits: logits, expert_ids: ids.data, expert_weights: weights.data };
    }),
  );
}

/**
 * Write a capture folder of so many GiB with logits, ids and weights, of samples of 256 rows.
 *
 * @returns its rows.
 */
export async function makeLargeFolder(folder, gib) {
  const rowBytes = SHAPE.layers * (SHAPE.experts * 4 + SHAPE.topK * (1 + 4));
  const samples = Math.ceil((gib * 2 ** 30) / rowBytes / TOKENS);
  await makeFolder(folder, SHAPE, new Array(samples).fill(TOKENS));
  return samples * TOKENS;
}

/**
 * Write a capture folder with logits, ids and weights. Each layer of a batch of rows has a text of its label at
 * random, so that paths through the layers are as manifold as in a large model. Samples have the labels in turn.
 *
 * @param lengths rows of each sample; the first half of them are the prompt.
 */
export async function makeFolder(folder, shape, lengths) {
  const texts = draw(shape);
  const layers = Array.from({ length: shape.layers }, (_, layer) => layer);
  const names = ["router_logits", "expert_ids", "expert_weights"];
  const sink = new FolderSink(folder);
  const prompt = lengths.map((length) => Math.ceil(length / 2));
  await sink.open({
    engine: { kind: "llama.cpp", version: "bench" },
    model: {
      ...{ name: "bench", source: "bench", architecture: "qwen3moe", quantization: "F32" },
      ...{ layers: shape.layers, hiddenSize: 0, vocabSize: VOCABULARY, contextLength: Math.max(...lengths) },
      ...{ parameters: 0, bytes: 0 },
      moe: { layers, experts: shape.experts, topK: shape.topK, sharedExperts: 0, gating },
    },
    streams: names.map((name) => ({ name, layers })),
    samples: prompt.map((promptTokens, i) => ({ label: `label ${i % shape.labels}`, promptTokens })),
    tokenText: (id) => ` ${id}`,
  });
  const pick = (from) => from[Math.floor(Math.random() * from.length)];
  for (const [sample, length] of lengths.entries())
    for (let from = 0; from < length; from += TOKENS) {
      const rows = Math.min(TOKENS, length - from);
      const taken = layers.map((layer) => [layer, pick(texts[sample % shape.labels])]);
      const part = (values) => values.subarray(0, (values.length / TOKENS) * rows);
      await sink.write({
        rows,
        sample: new Int32Array(rows).fill(sample),
        position: Int32Array.from({ length: rows }, (_, i) => from + i),
        // Few tokens are frequent, as in a language.
        tokenId: Int32Array.from({ length: rows }, () => Math.floor(VOCABULARY ** Math.random()) - 1),
        phase: Uint8Array.from({ length: rows }, (_, i) => (from + i < prompt[sample] ? 0 : 1)),
        streams: new Map(
          names.map((name) => [name, new Map(taken.map(([layer, of]) => [layer, part(of[name])]))]),
        ),
      });
    }
  await sink.close({ finished: [] });
}
