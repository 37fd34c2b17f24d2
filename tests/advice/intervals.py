"""Weight shares and their intervals with numpy and scipy, from what a capture holds of one layer."""

import json
import sys

import numpy as np
from scipy.stats import norm, t

data = json.load(sys.stdin)
ids, weights, sample = (np.array(data[name]) for name in ("ids", "weights", "sample"))
experts = data["experts"]
per_sample = np.zeros((sample.max() + 1, experts))
for k in range(ids.shape[1]):
    np.add.at(per_sample, (sample, ids[:, k]), weights[:, k])
totals = per_sample.sum(1)
share = per_sample.sum(0) / totals.sum()
n = len(totals)
variance = n / (n - 1) * ((per_sample - np.outer(totals, share)) ** 2).sum(0) / totals.sum() ** 2
# A synthetic weight may be negative; shares are from 0 to 1.
inside = np.clip(share, 0, 1)
# As many independent observations as the samples are worth, for Wilson's interval; unused: a sample is one.
with np.errstate(divide="ignore", invalid="ignore"):
    worth = np.where(
        (inside > 0) & (inside < 1) & (variance > 0), np.minimum(totals.sum(), inside * (1 - inside) / variance), n
    )
z = norm.ppf(0.975)
worth = worth * (z / t.ppf(0.975, n - 1)) ** 2
middle = (inside + z * z / (2 * worth)) / (1 + z * z / worth)
half = z / (1 + z * z / worth) * np.sqrt(inside * (1 - inside) / worth + z * z / (4 * worth**2))
low = np.where(inside > 0, middle - half, 0)
high = middle + half
if totals.sum() <= 0:
    low, high = np.zeros(experts), np.ones(experts)
print(json.dumps({"share": share.tolist(), "low": low.tolist(), "high": high.tolist()}))
