import { fileURLToPath } from "node:url";
import { describe } from "vitest";
import { EngineError } from "../../src/core/errors.ts";
import { LanguageModel } from "../../src/run/language-model.ts";
import { load } from "../../src/run/load.ts";
import { modelInfo } from "../analysis/synthetic.ts";
import { FakeEngine } from "../cli/fake-engine.ts";
import { ggufOf } from "../fixtures/families.ts";
import { syntheticEngine } from "../hs/synthetic-engine.ts";
import { StepwiseEngine } from "../server/stepwise-engine.ts";
import { FakeServer } from "../vllm/fake-server.ts";
import { conformance } from "./conformance.ts";

const gguf = ggufOf("qwen3_moe");
const llama = (isolate: "thread" | "process") => () =>
  load(gguf, { threads: 1, contextSize: 2048, batchSize: 128, isolate });

conformance("llama.cpp in a thread", llama("thread"), { edits: true });
conformance("llama.cpp in a process", llama("process"), { edits: true });

const python = fileURLToPath(new URL("../vllm/fake-worker.mjs", import.meta.url));
describe.skipIf(process.platform === "win32")("without vLLM", () => {
  const worker = (model: string) => () => load(model, { engine: "vllm", python });
  conformance("vLLM's worker", worker("whole"), { failing: worker("killed") });
});

conformance("a vLLM server", async () => load(await serverThat({})), {
  generated: 0,
  failing: async () => load(await serverThat({ ending: "error" })),
});

async function serverThat(behaviour: ConstructorParameters<typeof FakeServer>[0]): Promise<string> {
  const server = new FakeServer(behaviour);
  const url = await server.listen();
  server.unref();
  return url;
}

conformance("the fake engine", async () => LanguageModel.of(new FakeEngine()));
conformance("the fake engine of a token a step", async () => LanguageModel.of(new StepwiseEngine()), {
  failing: async () => {
    const engine = new StepwiseEngine();
    engine.failAt = { step: 2, error: new EngineError("ENGINE_FAILED", "the step failed") };
    return LanguageModel.of(engine);
  },
});
conformance("the engine that is a formula", async () =>
  LanguageModel.of(syntheticEngine(modelInfo(8, 2, [1, 3]))),
);
