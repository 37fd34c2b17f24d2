import { expect, it } from "vitest";
import { load } from "../../src/run/load.ts";
import { embeddingGguf } from "../fixtures/embedding-families.ts";

/** What `fixtures/embeddings/README.md` says of llama.cpp's WordPiece, so that it stays true. */
it("WordPiece parts from Hugging Face at U+0085 and at vowel signs, and nowhere else near them", async () => {
  const llm = await load(embeddingGguf("bert"), { threads: 1, contextSize: 64 });
  const [cls, unknown, sep] = [2, 1, 3];
  const tokens = async (text: string) => [...(await llm.tokenize(text))];
  try {
    // Hugging Face: one word, [CLS] x ##p [SEP].
    const [x, p] = [(await tokens("x"))[1], (await tokens("p"))[1]];
    expect(await tokens("x\u0085p")).toEqual([cls, x, p, sep]);
    // Hugging Face: [CLS] [UNK] [SEP].
    expect(await tokens("\u093f")).toEqual([cls, sep]);
    expect(await tokens("\u0915")).toEqual([cls, unknown, sep]);
    // Marks without width go in both.
    expect(await tokens("e\u0301")).toEqual(await tokens("e"));
  } finally {
    await llm.close();
  }
});
