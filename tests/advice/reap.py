"""REAP scores and their jackknife intervals with numpy, from a capture folder read with safetensors alone."""

import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd
from safetensors import safe_open
from scipy.stats import norm

folder = Path(sys.argv[1])
manifest = json.loads((folder / "manifest.json").read_text())
sample = pd.read_parquet(folder / "rows.parquet")["sample"].to_numpy()
experts = manifest["model"]["moe"]["experts"]
samples = np.unique(sample)


def values(stream, layer):
    parts = []
    for shard in manifest["shards"]:
        with safe_open(folder / shard["files"][stream], framework="numpy") as file:
            parts.append(file.get_tensor(f"{stream}.{layer}"))
    return np.concatenate(parts)


def scores(layer):
    ids, weights = values("expert_ids", layer), values("expert_weights", layer)
    outputs = values("expert_outputs", layer).astype(np.float64)
    added = weights * np.linalg.norm(outputs, axis=-1)
    found = []
    for expert in range(experts):
        row, k = np.nonzero(ids == expert)
        if len(row) == 0:
            found.append({"score": 0, "interval": None})
            continue
        score = added[row, k].mean()
        of = sample[row]
        if len(np.unique(of)) < 2:
            found.append({"score": score, "interval": None})
            continue
        without = np.array([added[row, k][of != left].mean() for left in samples])
        n = len(samples)
        half = norm.ppf(0.975) * np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
        found.append({"score": score, "interval": [max(0, score - half), score + half]})
    mean = np.mean([of["score"] for of in found])
    return [{**of, "relative": of["score"] / mean} for of in found]


print(json.dumps({layer: scores(layer) for layer in manifest["streams"]["expert_outputs"]["layers"]}))
