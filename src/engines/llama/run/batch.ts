import type { EngineRequest } from "../../../core/request.ts";

/** A sample on its way through the model. */
export interface Running {
  readonly sample: number;
  readonly request: EngineRequest;
  /** llama.cpp's sequence id, 0-based. */
  readonly sequence: number;
  /** Prompt and generated tokens; the first `length` are known. */
  readonly tokens: Int32Array;
  length: number;
  /** How many of them have gone through the model. */
  fed: number;
}

/** Part of a step: `count` tokens of one sample from position `from`. */
export interface Chunk {
  readonly running: Running;
  readonly from: number;
  readonly count: number;
}

export interface Limits {
  /** Tokens a step may hold: llama.cpp's ubatch. */
  readonly batchSize: number;
  /** Samples that may run at the same time. */
  readonly parallel: number;
  /** Tokens the key-value cache holds, for all running samples together. */
  readonly contextSize: number;
  /** A prompt goes in whole: one that is longer than a step has one of its own. */
  readonly whole: boolean;
}

/**
 * Continuous batching: each step feeds one token of every sample that generates and fills up with prompts, in order;
 * a waiting sample is admitted once its prompt and its longest continuation fit into the cache.
 */
export class Scheduler {
  readonly #requests: readonly EngineRequest[];
  readonly #limits: Limits;
  readonly #free: number[];
  readonly #running: Running[] = [];
  #next = 0;
  #reserved = 0;

  constructor(requests: readonly EngineRequest[], limits: Limits) {
    this.#requests = requests;
    this.#limits = limits;
    this.#free = Array.from({ length: limits.parallel }, (_, i) => limits.parallel - 1 - i);
  }

  /** The next step; empty when every sample has ended. */
  next(): Chunk[] {
    this.#admit();
    let room = this.#limits.batchSize;
    const chunks: Chunk[] = [];
    // Samples that wait for one token each go first: a long prompt must not stall them.
    const waiting = (running: Running) => running.length - running.fed;
    for (const running of [...this.#running].sort(
      (a, b) => Number(waiting(a) > 1) - Number(waiting(b) > 1),
    )) {
      const left = waiting(running);
      const count = this.#limits.whole && chunks.length === 0 ? left : Math.min(left, room);
      if (count <= 0 || (this.#limits.whole && count < left)) continue;
      chunks.push({ running, from: running.fed, count });
      running.fed += count;
      room -= count;
    }
    return chunks;
  }

  /** Take a sample out: it has ended. */
  finish(running: Running): void {
    this.#running.splice(this.#running.indexOf(running), 1);
    this.#free.push(running.sequence);
    this.#reserved -= cacheNeed(running.request);
  }

  #admit(): void {
    while (this.#next < this.#requests.length && this.#free.length > 0) {
      const request = this.#requests[this.#next]!;
      if (this.#reserved + cacheNeed(request) > this.#limits.contextSize) return;
      const tokens = new Int32Array(request.tokens.length + request.maxTokens);
      tokens.set(request.tokens);
      this.#reserved += cacheNeed(request);
      this.#running.push({
        sample: this.#next++,
        request,
        sequence: this.#free.pop()!,
        tokens,
        length: request.tokens.length,
        fed: 0,
      });
    }
  }
}

const cacheNeed = (request: EngineRequest) => request.tokens.length + request.maxTokens;
