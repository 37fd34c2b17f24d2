"""Reference values for label-scores.test.ts, from numpy and scipy.

    python tests/analysis/label-scores.py > tests/analysis/label-scores.json && npx biome format --write tests/analysis/label-scores.json

Needs numpy and scipy (made with numpy 2.4.6, scipy 1.17.1). One layer of 8 experts, 2 for each token; 12 texts of 3 labels and of
unequal length; expert 7 is never used by the first label. Every formula is written out once more, by text and not by sums.
"""

import json

import numpy as np
from scipy import stats

rng = np.random.default_rng(11)
EXPERTS, TOP_K, RESAMPLES = 8, 2, 4000
labels = ["a", "b", "c"] * 4
lengths = [5, 9, 12, 7, 30, 6, 11, 8, 14, 10, 5, 21]
prefer = {"a": np.array([3, 1, 1, 1, 1, 1, 1, 0.0]), "b": np.array([1, 1, 3, 1, 1, 1, 1, 1.0]), "c": np.ones(8)}
texts = []
for label, length in zip(labels, lengths):
    p = prefer[label] * rng.uniform(0.5, 1.5, EXPERTS)
    texts.append(np.stack([rng.choice(EXPERTS, TOP_K, replace=False, p=p / p.sum()) for _ in range(length)]))
weights = [rng.uniform(0.1, 0.9, text.shape).astype(np.float32) for text in texts]
names = ["a", "b", "c"]
counts = np.stack([np.bincount(text.ravel(), minlength=EXPERTS) for text in texts]).astype(float)
rows = np.array(lengths, float)
of = np.array(labels)


def risk_difference(name):
    own, other = of == name, of != name
    parts, freedom = [], []
    for side in (own, other):
        n, c, k = rows[side], counts[side], side.sum()
        share = c.sum(0) / n.sum()
        parts.append((share, k / (k - 1) * ((c - share * n[:, None]) ** 2).sum(0) / n.sum() ** 2))
        freedom.append(k - 1)
    (p, v), (q, w) = parts
    s = counts.sum(0) / rows.sum()
    least = s * (1 - s) * (1 / rows[own].sum() + 1 / rows[other].sum())
    df = np.maximum(1, np.floor((v + w) ** 2 / (v**2 / freedom[0] + w**2 / freedom[1]) + 1e-9))
    return p - q, stats.t.ppf(0.975, df) * np.sqrt(np.maximum(v + w, least))


def npmi_of(kept):
    table = np.stack([counts[kept & (of == name)].sum(0) for name in names])
    joint = table / table.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        value = np.log(joint / joint.sum(0) / joint.sum(1, keepdims=True)) / -np.log(joint)
    return np.where(joint == 0, -1, value)


everything = np.ones(len(of), bool)
npmi = npmi_of(everything)
without = np.stack([npmi_of(np.arange(len(of)) != text) for text in range(len(of))])
n = len(of)
npmi_half = stats.t.ppf(0.975, n - 1) * np.sqrt((n - 1) / n * ((without - without.mean(0)) ** 2).sum(0))


def by_text(values):
    """Mean over the texts of each label, and half of Student's interval."""
    found = [values[of == name] for name in names]
    half = [stats.t.ppf(0.975, len(v) - 1) * v.std(0, ddof=1) / np.sqrt(len(v)) for v in found]
    return {"values": [v.mean(0).tolist() for v in found], "halfWidths": [h.tolist() for h in half]}


def front():
    """How often each expert of each label is among the two most different, over many resamples."""
    hits = np.zeros((3, EXPERTS))
    for _ in range(RESAMPLES):
        drawn = {name: rng.choice(np.flatnonzero(of == name), (of == name).sum()) for name in names}
        for i, name in enumerate(names):
            own = drawn[name]
            other = np.concatenate([drawn[x] for x in names if x != name])
            d = counts[own].sum(0) / rows[own].sum() - counts[other].sum(0) / rows[other].sum()
            hits[i, np.argsort(-d)[:2]] += 1 / RESAMPLES
    return hits.tolist()


gates = np.stack([
    np.bincount(t.ravel(), w.ravel().astype(float), EXPERTS) / len(t) for t, w in zip(texts, weights)
])
differences = [risk_difference(name) for name in names]
token = by_text(counts / rows[:, None] / TOP_K)
chosen = []
for score in token["values"]:
    order, reached, picked = np.argsort(-np.array(score), kind="stable"), 0, []
    for expert in order:
        if reached >= 0.2:
            break
        picked.append(int(expert))
        reached += score[expert]
    chosen.append(picked)
print(json.dumps({
    "experts": EXPERTS, "topK": TOP_K, "labels": labels, "lengths": lengths,
    "ids": np.concatenate(texts).ravel().tolist(),
    "weights": np.concatenate(weights).ravel().tolist(),
    "riskDifference": {"values": [d.tolist() for d, _ in differences], "halfWidths": [h.tolist() for _, h in differences]},
    "npmi": {"values": npmi.tolist(), "halfWidths": npmi_half.tolist()},
    "esftToken": token, "esftGate": by_text(gates), "esftExperts": chosen, "front": front(),
}))
