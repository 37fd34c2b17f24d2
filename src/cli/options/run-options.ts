import { type Command, Option } from "commander";
import { POOLINGS, TASKS } from "../../core/embedding.ts";
import { parseEngineArgument } from "./engine-argument.ts";
import { append, appended, value } from "./option-parser.ts";
import { parseVariables, parseWhole } from "./option-values.ts";
import { parseGpu, parseOverride } from "./placement-values.ts";

/** A model in a file, wherever it lies. */
export const MODEL_FILE = "a .gguf file, hf:org/repo:QUANT, ollama:name:tag or lmstudio:publisher/model";

/** A model that is run. */
export const MODEL = `${MODEL_FILE}; with --engine vllm org/repo or a folder; http://host:8000`;

/** Where prompts come from, for commands that run them. */
export const promptOptions = (command: Command): Command =>
  command
    .option(
      "--prompts <file>",
      "prompts from a .jsonl file (prompt, token_ids or messages a line), or a text a line, - for stdin; may repeat",
      append,
    )
    .option("--token-ids <file>", "prompts as token ids: a JSON array of arrays")
    .option("--chat", "each text is a user's message, put through the model's template")
    .option(
      "--chat-template-kwargs <json>",
      'variables for the template of chats, e.g. {"enable_thinking": false}',
      value(parseVariables),
    )
    .option("--no-special-tokens", "texts have their special tokens (BOS ...) already: add none");

/** How a model is loaded, for commands that run one. */
export const modelOptions = (command: Command): Command =>
  command
    .addOption(
      new Option("--engine <name>", "what runs the model (default: llama.cpp)").choices([
        "llama.cpp",
        "vllm",
      ]),
    )
    .addOption(
      new Option("--task <task>", "what the model is loaded for (default: what it was made for)").choices(
        TASKS,
      ),
    )
    .addOption(
      new Option("--pooling <type>", "task embed: how a text's rows become one vector").choices(POOLINGS),
    )
    .option("--no-normalize", "task embed: do not scale embeddings to length 1")
    .option("--context <n>", "tokens of context", value(parseWhole(1)))
    .addOption(
      new Option("--kv-type <type>", "element type of the key-value cache").choices(["f32", "f16", "q8_0"]),
    )
    .option("--no-flash-attention", "attention as separate steps, for comparisons")
    .option(
      "--threads <n>",
      "threads that compute (default: one a core, fewer for small models)",
      value(parseWhole(1, 1024)),
    )
    .option("--isolate", "run llama.cpp in a process of its own, which may crash alone (default)")
    .option("--no-isolate", "run it in a thread of this process: only for files you trust")
    .option("--gpu <kind>", "auto, cuda, vulkan, metal or off (default: auto)", value(parseGpu))
    .option("--gpu-layers <n>", "layers on the GPU (default: all)", value(parseWhole(0, 1 << 16)))
    .option("--cpu-moe", "keep all experts in the CPU's memory")
    .option("--n-cpu-moe <n>", "keep the experts of the first n layers there", value(parseWhole(0)))
    .option(
      "--override-tensor <pattern=device>",
      'tensors to a device, e.g. "exps=CPU"; may repeat',
      appended(value(parseOverride)),
    )
    .option("--tensor-parallel-size <n>", "vllm: GPUs that share each layer", value(parseWhole(1)))
    .option("--pipeline-parallel-size <n>", "vllm: GPUs that share the layers", value(parseWhole(1)))
    .option("--data-parallel-size <n>", "vllm: copies of the model", value(parseWhole(1)))
    .option(
      "--engine-arg <name=value>",
      "vllm: any other argument, e.g. maxNumSeqs=64; may repeat",
      appended(value(parseEngineArgument)),
    )
    .option("--api-key <key>", "of a server (default: VLLM_API_KEY)");
