"""Reference values for expert-similarity.test.ts, from numpy.

    python tests/analysis/expert-similarity.py > tests/analysis/expert-similarity.json && npx biome format --write tests/analysis/expert-similarity.json

Needs numpy (made with 2.4.6). Two layers of 6 experts, 2 for each of 40 tokens; expert 5 of the second layer is never used. `phi` is
numpy.corrcoef of the indicators of the first layer's expert 1 and of each expert, null where it is not defined.
"""

import json

import numpy as np

rng = np.random.default_rng(7)
TOKENS, EXPERTS, TOP_K, EXPERT = 40, 6, 2, 1
ids = np.stack(
    [
        np.stack([rng.permutation(EXPERTS)[:TOP_K] for _ in range(TOKENS)]),
        np.stack([rng.permutation(EXPERTS - 1)[:TOP_K] for _ in range(TOKENS)]),
    ]
)
uses = np.stack([(ids == expert).any(-1) for expert in range(EXPERTS)], axis=1)  # [layer, expert, token]
with np.errstate(invalid="ignore", divide="ignore"):
    phi = [[np.corrcoef(uses[0, EXPERT], one)[0, 1] for one in layer] for layer in uses]
plain = [[None if np.isnan(value) else float(value) for value in layer] for layer in phi]
print(json.dumps({"experts": EXPERTS, "topK": TOP_K, "expert": EXPERT, "ids": ids.tolist(), "phi": plain}))
