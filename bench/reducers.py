"""The NumPy and PyTorch side of bench/reducers.mjs: reducers.py FILE ROWS EXPERTS TOP_K CHUNK.

In chunks of rows, which is faster for both than all at once, as the intermediate arrays stay in the cache.
"""

import os
import sys

os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1")

import numpy as np
import torch
from runs import serve

FILE = sys.argv[1]
ROWS, EXPERTS, TOP_K, CHUNK = map(int, sys.argv[2:])
torch.set_num_threads(1)
logits = np.random.default_rng(0).standard_normal((ROWS, EXPERTS), dtype=np.float32) * np.float32(2)
logits.tofile(FILE)
tensor = torch.from_numpy(logits)


def with_numpy() -> dict:
    counts, weights, entropy = np.zeros(EXPERTS, np.int64), np.zeros(EXPERTS), 0.0
    for start in range(0, ROWS, CHUNK):
        x = logits[start : start + CHUNK]
        shifted = x - x.max(-1, keepdims=True)
        e = np.exp(shifted)
        z = e.sum(-1, keepdims=True)
        chosen = np.argpartition(x, -TOP_K, axis=-1)[:, -TOP_K:]
        share = np.take_along_axis(e, chosen, -1)
        share /= share.sum(-1, keepdims=True)
        counts += np.bincount(chosen.ravel(), minlength=EXPERTS)
        weights += np.bincount(chosen.ravel(), share.ravel(), minlength=EXPERTS)
        entropy += float((np.log(z) - (shifted * e).sum(-1, keepdims=True) / z).sum(dtype=np.float64))
    return {"counts": counts.tolist(), "weights": weights.tolist(), "entropy": entropy / ROWS}


@torch.inference_mode()
def with_torch() -> dict:
    counts, weights, entropy = torch.zeros(EXPERTS, dtype=torch.int64), torch.zeros(EXPERTS), 0.0
    for x in tensor.split(CHUNK):
        logs = torch.log_softmax(x, -1)
        p = logs.exp()
        share, chosen = torch.topk(p, TOP_K, -1)
        share = share / share.sum(-1, keepdim=True)
        counts += torch.bincount(chosen.flatten(), minlength=EXPERTS)
        weights.index_add_(0, chosen.flatten(), share.flatten())
        entropy -= float((p * logs).sum(dtype=torch.float64))
    return {"counts": counts.tolist(), "weights": weights.tolist(), "entropy": entropy / ROWS}


serve({"numpy": with_numpy, "torch": with_torch})
