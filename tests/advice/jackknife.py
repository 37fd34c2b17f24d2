"""Weight shares and their jackknife intervals with numpy and scipy, from what a capture holds of one layer."""

import json
import sys

import numpy as np
from scipy.stats import binomtest, norm

data = json.load(sys.stdin)
ids, weights, sample = (np.array(data[name]) for name in ("ids", "weights", "sample"))
experts = data["experts"]
per_sample = np.zeros((sample.max() + 1, experts))
for k in range(ids.shape[1]):
    np.add.at(per_sample, (sample, ids[:, k]), weights[:, k])
totals = per_sample.sum(1)
share = per_sample.sum(0) / totals.sum()
without = np.array([np.delete(per_sample, s, 0).sum(0) / np.delete(totals, s).sum() for s in range(len(totals))])
n = len(totals)
half = norm.ppf(0.975) * np.sqrt((n - 1) / n * ((without - without.mean(0)) ** 2).sum(0))
unused = binomtest(0, n).proportion_ci(0.95, "wilson")
low = np.where(share == 0, 0, np.maximum(0, share - half))
high = np.where(share == 0, unused.high, np.minimum(1, share + half))
print(json.dumps({"share": share.tolist(), "low": low.tolist(), "high": high.tolist()}))
