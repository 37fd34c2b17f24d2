import type { Command } from "commander";
import type { EngineEntry } from "../../engines/entry.ts";
import { append, value } from "./option-parser.ts";
import { parseVariables } from "./option-values.ts";

/** A model that is run, for the help. */
export const modelHelp = (engines: readonly EngineEntry[]): string =>
  engines.map(({ references }) => references).join("; ");

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
