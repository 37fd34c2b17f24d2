import { POOLINGS, type Pooling, TASKS, type Task, type TaskOptions } from "../core/embedding.ts";
import { type Flag, type OptionFlag, sets } from "./flag.ts";

/** Tokens of the longest sample; engines have options of their own for it. */
export const CONTEXT: Flag = {
  name: "context",
  placeholder: "<n>",
  type: { is: "whole", least: 1 },
  help: "tokens of context",
  stored: true,
};

/** Seconds in which each step of a run must end. */
export const STEP_TIMEOUT: Flag = {
  name: "stepTimeout",
  placeholder: "<seconds>",
  type: { is: "whole", least: 1, most: 2_000_000 },
  help: "a step that takes longer counts as hung (default: 600, and more for large models)",
};

/** What a model is loaded for. */
export const TASK_FLAGS: readonly OptionFlag<TaskOptions>[] = [
  sets(
    {
      name: "task",
      placeholder: "<task>",
      type: { is: "choice", among: TASKS },
      help: "what the model is loaded for (default: what it was made for)",
      stored: true,
    },
    (task: Task) => ({ task }),
  ),
  sets(
    {
      name: "pooling",
      placeholder: "<type>",
      type: { is: "choice", among: POOLINGS },
      help: "task embed: how a text's rows become one vector",
      stored: true,
    },
    (pooling: Pooling) => ({ pooling }),
  ),
  sets(
    {
      name: "normalize",
      off: true,
      type: { is: "switch" },
      help: "task embed: do not scale embeddings to length 1",
      stored: true,
    },
    (normalize: boolean) => ({ normalize }),
  ),
];
