"""Reference values for eplb.test.ts, from DeepSeek's own eplb.py.

    git clone https://github.com/deepseek-ai/EPLB
    python tests/advice/eplb.py EPLB/eplb.py > tests/advice/eplb.json && npx biome format --write tests/advice/eplb.json

Needs torch (made with 2.13.0, EPLB at d52c72d). Where vLLM can be imported (made with 0.32.0), it says whether its
DefaultEplbPolicy places the same: it sums in double precision and leaves the order of equal loads open.
"""

import importlib.util
import json
import sys

import numpy as np
import torch

spec = importlib.util.spec_from_file_location("eplb", sys.argv[1])
eplb = importlib.util.module_from_spec(spec)
spec.loader.exec_module(eplb)

# torch leaves the order of equal loads open (it differs from processor to processor); here they come by their index.
unordered = torch.Tensor.sort
torch.Tensor.sort = lambda self, dim=-1, descending=False: unordered(self, dim=dim, descending=descending, stable=True)
try:
    from vllm.distributed.eplb.policy.default import DefaultEplbPolicy as vllm_policy
except ImportError:
    vllm_policy = None

rng = np.random.default_rng(3)


def loads(layers, experts, ties):
    skewed = rng.lognormal(3, 1.2, (layers, experts)).round().astype(int)
    return rng.integers(0, 5, (layers, experts)) if ties else skewed * experts + rng.permutation(experts)


# The example of EPLB's README, then replicas, groups, nodes and ranks of several kinds.
readme = [
    [90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86],
    [20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27],
]
CASES = [
    (readme, 16, 4, 2, 8, False),
    (loads(3, 16, False), 16, 1, 1, 4, False),
    (loads(3, 16, False), 24, 4, 2, 8, False),
    (loads(2, 16, False), 20, 3, 2, 4, False),
    (loads(2, 64, False), 80, 8, 4, 16, False),
    (loads(2, 64, False), 64, 8, 8, 64, False),
    (loads(2, 128, False), 160, 1, 1, 32, False),
    (loads(3, 16, True), 24, 4, 2, 8, True),
    (loads(2, 32, True), 40, 1, 1, 8, True),
    ([[0] * 8], 12, 2, 2, 4, True),
]
found = []
for weight, replicas, groups, nodes, ranks, ties in CASES:
    weight = torch.tensor(np.array(weight))
    physical, logical, count = eplb.rebalance_experts(weight, replicas, groups, nodes, ranks)
    if vllm_policy is not None and not ties:
        placed = vllm_policy.rebalance_experts(weight, replicas, groups, nodes, ranks)
        by_rank = lambda places: places.view(len(weight), ranks, -1).sort(-1).values
        same = torch.equal(placed, physical), torch.equal(by_rank(placed), by_rank(physical))
        print(f"{replicas} on {ranks}: vLLM's places the same: {same[0]}, as sets of a rank: {same[1]}", file=sys.stderr)
    found.append({
        "weight": weight.tolist(), "replicas": replicas, "groups": groups, "nodes": nodes, "ranks": ranks,
        "physicalToLogical": physical.tolist(), "logicalToPhysical": logical.tolist(), "replicaCounts": count.tolist(),
    })
print(json.dumps(found))
