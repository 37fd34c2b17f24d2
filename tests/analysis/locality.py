"""Reference values for locality.test.ts, written for clarity and not for speed.

    python tests/analysis/locality.py > tests/analysis/locality.json && npx biome format --write tests/analysis/locality.json

Needs numpy (made with 2.4.6). Two layers of 6 experts, 2 for each token, 6 texts of unequal length. LRU and LFU are lists that are
sorted before each token; the optimum is found by trying every choice of what to keep.
"""

import json
from functools import lru_cache
from itertools import combinations

import numpy as np

rng = np.random.default_rng(5)
EXPERTS, TOP_K = 6, 2
lengths = [7, 3, 12, 5, 9, 8]


def sequence(bias):
    rows, before = [], [0, 1]
    for _ in range(sum(lengths)):
        p = np.ones(EXPERTS)
        p[before] += bias
        before = [int(e) for e in rng.choice(EXPERTS, TOP_K, replace=False, p=p / p.sum())]
        rows.append(before)
    return rows


layers = [sequence(3), sequence(1)]
starts = np.concatenate([[0], np.cumsum(lengths)[:-1]]).tolist()


def policy(rows, size, rank, cold=False):
    """Hits of a cache that before each token is ordered by `rank(expert, uses, last)`; the lowest leave."""
    cache, uses, last, hits = set(), [0] * EXPERTS, [-1] * EXPERTS, 0
    for token, needed in enumerate(rows):
        if cold and token in starts:
            cache = set()
        hits += len(cache & set(needed))
        for e in needed:
            uses[e] += 1
            last[e] = token
        others = sorted(cache - set(needed), key=lambda e: rank(e, uses, last), reverse=True)
        cache = set(needed) | set(others[: size - len(needed)])
    return hits


def optimum(rows, size):
    @lru_cache(None)
    def best(token, cache):
        if token == len(rows):
            return 0
        needed = frozenset(rows[token])
        rest = cache - needed
        keep = min(len(rest), size - len(needed))
        return len(cache & needed) + max(
            best(token + 1, needed | frozenset(kept)) for kept in combinations(sorted(rest), keep)
        )

    return best(0, frozenset())


# The order of a token's experts among themselves is left open: sizes where it matters to LRU have equal `last`.
def lru(rows, size, cold=False):
    """Moves a token's experts to the front in the order they are given."""
    order, hits = [], 0
    for token, needed in enumerate(rows):
        if cold and token in starts:
            order = []
        hits += len(set(order[:size]) & set(needed))
        for e in needed:
            order = [e] + [o for o in order if o != e]
    return hits


def union(rows, window):
    sizes = [
        len({e for row in rows[i : i + window] for e in row})
        for first, length in zip(starts, lengths)
        for i in range(first, first + length - window + 1)
    ]
    return float(np.mean(sizes)) if sizes else None


def again(rows):
    pairs = [(rows[t - 1], rows[t]) for f, n in zip(starts, lengths) for t in range(f + 1, f + n)]
    return float(np.mean([len(set(a) & set(b)) / TOP_K for a, b in pairs]))


def recall(predicted):
    """Texts of even place are predicted from those of odd place, and the other way round."""
    fold = np.repeat(np.arange(len(lengths)) % 2, lengths)
    hits = popular = 0
    for mine in (0, 1):
        table, used, used_b = np.zeros((EXPERTS, EXPERTS)), np.zeros(EXPERTS), np.zeros(EXPERTS)
        for t in np.flatnonzero(fold != mine):
            for a in layers[0][t]:
                used[a] += 1
                table[a, layers[1][t]] += 1
            used_b[layers[1][t]] += 1
        given = table / np.maximum(used, 1)[:, None]
        front = set(np.argsort(-used_b, kind="stable")[:predicted].tolist())
        for t in np.flatnonzero(fold == mine):
            scores = given[layers[0][t]].sum(0)
            named = set(np.argsort(-scores, kind="stable")[:predicted].tolist())
            hits += len(named & set(layers[1][t]))
            popular += len(front & set(layers[1][t]))
    n = sum(lengths) * TOP_K
    return {"predicted": predicted, "recall": hits / n, "byPopularity": popular / n}


rows = layers[0]
sizes = list(range(TOP_K, EXPERTS + 1))
print(json.dumps({
    "experts": EXPERTS, "topK": TOP_K, "lengths": lengths, "layers": layers, "sizes": sizes,
    "lru": [lru(rows, size) for size in sizes],
    "lruCold": [lru(rows, size, True) for size in sizes],
    "lfu": [policy(rows, size, lambda e, uses, last: (uses[e], last[e])) for size in sizes],
    "belady": [optimum(rows, size) for size in sizes],
    "unions": [[window, union(rows, window)] for window in (1, 2, 4, 8, 16)],
    "repeated": again(rows),
    "recalls": [recall(predicted) for predicted in (2, 4)],
}))
