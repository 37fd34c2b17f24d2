import type { Task } from "../../core/embedding.ts";
import type { LanguageModel } from "../../run/language-model.ts";
import { ServerError } from "../host/server-error.ts";
import { Encoder } from "./encode.ts";
import { EngineQueue } from "./engine-queue.ts";
import type { ServedModel } from "./schemas.ts";

/** A model that is loaded, with the queue of its engine. */
export interface LoadedModel {
  readonly id: string;
  readonly llm: LanguageModel;
  readonly queue: EngineQueue;
  /** Makes prompts into tokens, before they wait for the engine. */
  readonly encoder: Encoder;
}

/** The models that run here, by id. */
export class Models {
  readonly #models: readonly LoadedModel[];

  /** @param models by the name they are asked for under. */
  constructor(models: ReadonlyMap<string, LanguageModel>) {
    this.#models = [...models].map(([id, llm]) => ({
      id,
      llm,
      queue: new EngineQueue(),
      encoder: new Encoder(llm),
    }));
  }

  list(): ServedModel[] {
    return this.#models.map(({ id, llm, queue }) => ({
      id,
      info: structuredClone(llm.info) as ServedModel["info"],
      engine: { ...llm.engine },
      devices: [...llm.devices],
      contextSize: llm.contextSize,
      task: llm.task,
      waiting: queue.length,
    }));
  }

  /**
   * @param id default: the first model.
   * @throws ServerError `NOT_FOUND` naming those there are.
   */
  get(id: string | undefined): LoadedModel {
    const found = id === undefined ? this.#models[0] : this.#models.find((model) => model.id === id);
    if (found) return found;
    throw new ServerError(
      "NOT_FOUND",
      this.#models.length === 0
        ? "no model is loaded: start with moescope serve MODEL"
        : `there is no model ${id}; there is ${this.#models.map((model) => model.id).join(", ")}`,
    );
  }

  /** For clients that name a model of somebody else: the one they name, else the first that is loaded for the task. */
  any(id: string | undefined, task: Task): LoadedModel {
    const byName = this.#models.find((model) => model.id === id);
    return byName ?? this.#models.find(({ llm }) => llm.task === task) ?? this.get(undefined);
  }
}
