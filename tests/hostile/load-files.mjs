/**
 * Loads model files as a host program would, and says how each went. Where llama.cpp runs in a thread of this process, a
 * native crash ends it, and the test that forked it notices.
 */
import { load } from "../../dist/index.js";

const PATIENCE_MS = 20_000;
const [isolate] = process.argv.slice(2);

process.on("disconnect", () => process.kill(process.pid, "SIGKILL"));
process.on("message", async (file) => {
  // What hangs is stopped, as its user would.
  const signal = AbortSignal.timeout(PATIENCE_MS);
  try {
    const llm = await load(file, { signal, threads: 1, contextSize: 64, parallel: 2, isolate });
    const streams = llm.info.moe ? ["router_logits", "expert_ids", "expert_weights", "hidden_states"] : [];
    try {
      // Ids of the vocabulary, and a text: a damaged tokenizer is part of the game.
      const ids = [1, 2, 3].filter((id) => id < llm.info.vocabSize);
      await llm.capture([ids, "The router sent"], {
        signal,
        streams,
        maxTokens: llm.task === "generate" ? 3 : 0,
      });
    } finally {
      await llm.close();
    }
    process.send({ outcome: "loaded" });
  } catch (error) {
    const outcome = signal.aborted ? "STOPPED" : (error.code ?? "UNTYPED");
    process.send({ outcome, message: `${error.name}: ${error.message}` });
  }
});
