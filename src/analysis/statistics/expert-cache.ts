/** The experts of a layer as tokens ask for them, one text after the other. */
export interface ExpertSequence {
  /** `[tokens, topK]`; those of a token are different ones. */
  readonly ids: Uint16Array;
  readonly tokens: number;
  readonly topK: number;
  readonly experts: number;
  /** First token of each text, ascending. */
  readonly starts: readonly number[];
}

/**
 * Stack distances of all requests: how many experts were used as recently or more so than the one asked for, itself
 * counted, when its token begins. A cache of C experts that drops the least recently used (LRU) has what lies within C.
 * One pass tells the hits of every C.
 *
 * A token's experts are asked for at once: those in the cache are hits, then the others take the places of experts that the
 * token does not need. So C is at least topK, and the order of a token's experts does not count.
 *
 * Source: Mattson et al., "Evaluation techniques for storage hierarchies", IBM Syst. J. 9 (1970). A list that moves what is
 * used to its front has as many entries as there are experts.
 *
 * @param unitOf of each text.
 * @param cold whether each text begins with an empty cache. Else texts follow each other.
 * @returns `[units, experts + 1]`: requests by distance 1 to `experts`, and at 0 those of experts never used before.
 */
export function stackDistances(
  { ids, tokens, topK, experts, starts }: ExpertSequence,
  unitOf: ArrayLike<number>,
  units: number,
  cold: boolean,
): Float64Array {
  const width = experts + 1;
  const found = new Float64Array(units * width);
  const stack = new Uint16Array(experts);
  const held = new Uint8Array(experts);
  let length = 0;
  let text = -1;
  for (let token = 0; token < tokens; token++) {
    while (text + 1 < starts.length && starts[text + 1]! <= token) {
      text++;
      if (!cold) continue;
      length = 0;
      held.fill(0);
    }
    const base = unitOf[text]! * width;
    // All places before any of them moves.
    for (let i = token * topK; i < (token + 1) * topK; i++)
      found[base + (held[ids[i]!]! === 1 ? stack.indexOf(ids[i]!) + 1 : 0)]!++;
    for (let i = token * topK; i < (token + 1) * topK; i++) {
      const expert = ids[i]!;
      let at = length;
      if (held[expert] === 1) at = stack.indexOf(expert);
      else {
        held[expert] = 1;
        length++;
      }
      stack.copyWithin(1, 0, at);
      stack[0] = expert;
    }
  }
  return found;
}

/**
 * Hits of a cache of `size` experts that drops the least frequently used (LFU): of all uses so far, also of experts that left
 * meanwhile; among equals the least recently used.
 */
export function lfuHits(sequence: ExpertSequence, size: number): number {
  const { tokens, topK } = sequence;
  return simulate(sequence, size, (ranks, expert, request) => {
    const uses = Math.floor(ranks[expert]!);
    ranks[expert] = uses + 1 + Math.floor(request / topK) / (tokens + 1);
  });
}

/**
 * Hits of the best that any cache of `size` experts can do, which knows what is asked for next and drops what is needed
 * last. A bound for all policies.
 *
 * Source: Belady, "A study of replacement algorithms", IBM Syst. J. 5 (1966).
 */
export function beladyHits(sequence: ExpertSequence, size: number): number {
  const { ids, experts, tokens, topK } = sequence;
  const after = new Int32Array(tokens * topK);
  const next = new Int32Array(experts).fill(tokens);
  for (let token = tokens - 1; token >= 0; token--)
    for (let request = token * topK; request < (token + 1) * topK; request++) {
      after[request] = next[ids[request]!]!;
      next[ids[request]!] = token;
    }
  return simulate(sequence, size, (ranks, expert, request) => {
    ranks[expert] = -after[request]!;
  });
}

/**
 * A cache that drops the expert of lowest rank; texts follow each other. The victim is sought in a plain pass over the
 * cache: it holds no more than a layer has experts, and a heap would have to take in every use.
 *
 * @param used sets an expert's rank as it is used.
 */
function simulate(
  { ids, tokens, topK, experts }: ExpertSequence,
  size: number,
  used: (ranks: Float64Array, expert: number, request: number) => void,
): number {
  const ranks = new Float64Array(experts);
  /** Experts of the cache, and where each of all lies in it; -1: not. */
  const cached = new Int32Array(size);
  const place = new Int32Array(experts).fill(-1);
  let length = 0;
  let hits = 0;
  for (let token = 0; token < tokens; token++) {
    const [from, to] = [token * topK, (token + 1) * topK];
    let missing = 0;
    for (let i = from; i < to; i++) {
      used(ranks, ids[i]!, i);
      if (place[ids[i]!]! < 0) missing++;
    }
    hits += topK - missing;
    for (let i = from; missing > 0 && i < to; i++) {
      const expert = ids[i]!;
      if (place[expert]! >= 0) continue;
      missing--;
      let at = length;
      if (length < size) length++;
      else {
        at = lowest(cached, ranks, ids, from, to);
        place[cached[at]!] = -1;
      }
      cached[at] = expert;
      place[expert] = at;
    }
  }
  return hits;
}

/** The place of the cached expert of lowest rank that the token `[from, to)` of requests does not need. */
function lowest(cached: Int32Array, ranks: Float64Array, ids: Uint16Array, from: number, to: number): number {
  let least = Infinity;
  let at = 0;
  for (let slot = 0; slot < cached.length; slot++) {
    const rank = ranks[cached[slot]!]!;
    if (rank >= least || isNeeded(ids, from, to, cached[slot]!)) continue;
    least = rank;
    at = slot;
  }
  return at;
}

function isNeeded(ids: Uint16Array, from: number, to: number, expert: number): boolean {
  for (let i = from; i < to; i++) if (ids[i] === expert) return true;
  return false;
}

/** How many different experts `window` tokens of a text that follow each other use, in the mean. NaN without such. */
export function unionSize({ ids, tokens, topK, experts, starts }: ExpertSequence, window: number): number {
  const uses = new Int32Array(experts);
  let distinct = 0;
  let total = 0;
  let windows = 0;
  const add = (token: number) => {
    for (let i = token * topK; i < (token + 1) * topK; i++) if (uses[ids[i]!]!++ === 0) distinct++;
  };
  const remove = (token: number) => {
    for (let i = token * topK; i < (token + 1) * topK; i++) if (--uses[ids[i]!]! === 0) distinct--;
  };
  starts.forEach((first, text) => {
    const end = starts[text + 1] ?? tokens;
    uses.fill(0);
    distinct = 0;
    for (let token = first; token < end; token++) {
      add(token);
      if (token - window >= first) remove(token - window);
      if (token - window + 1 < first) continue;
      total += distinct;
      windows++;
    }
  });
  return total / windows;
}

/** Requests by how many tokens ago the same text last used the expert, `[longest + 1]`; at 0 those of first uses. */
export function reuseIntervals(
  { ids, tokens, topK, experts, starts }: ExpertSequence,
  longest: number,
): Float64Array {
  const found = new Float64Array(longest + 1);
  const last = new Int32Array(experts);
  starts.forEach((first, text) => {
    const end = starts[text + 1] ?? tokens;
    last.fill(-1);
    for (let token = first; token < end; token++)
      for (let i = token * topK; i < (token + 1) * topK; i++) {
        const before = last[ids[i]!]!;
        found[before < 0 ? 0 : Math.min(longest, token - before)]!++;
        last[ids[i]!] = token;
      }
  });
  return found;
}
