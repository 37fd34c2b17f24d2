/**
 * Loads model files in threads of this process, as a host program would, and says how each went. A native crash ends
 * this process, and the test that forked it notices.
 */
import { load } from "../../dist/index.js";

process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
process.on("message", async (file) => {
  try {
    const llm = await load(file, { threads: 1, contextSize: 64, parallel: 2 });
    const streams = llm.info.moe ? ["router_logits", "expert_ids", "expert_weights", "hidden_states"] : [];
    try {
      // Ids of the vocabulary, and a text: a damaged tokenizer is part of the game.
      const ids = [1, 2, 3].filter((id) => id < llm.info.vocabSize);
      await llm.capture([ids, "The router sent"], { streams, maxTokens: llm.task === "generate" ? 3 : 0 });
    } finally {
      await llm.close();
    }
    process.send({ outcome: "loaded" });
  } catch (error) {
    process.send({ outcome: error.code ?? "UNTYPED", message: `${error.name}: ${error.message}` });
  }
});
