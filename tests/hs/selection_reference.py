"""What EasySteer's own code selects, for tests/hs/selection.test.ts.

    python tests/hs/selection_reference.py EASYSTEER_VLLM > tests/hs/selection-reference.json && npx biome format --write tests/hs/selection-reference.json

EASYSTEER_VLLM: a checkout of github.com/ZJU-REAL/EasySteer-vllm-v1 (made with commit 6267ca0cf). Needs torch and pydantic; vLLM itself is
not run: the two modules that resolve a selection are loaded from their files. Prompts go through in chunks, generated tokens one by one.
"""

import importlib.util
import json
import random
import sys
import types
from pathlib import Path

import torch

PROMPTS = ["abcabca", "bcd", "aacbdeafbcaa"]
DRAWN = 6  # tokens; the last one is no row
CHUNK = 4
CASES = 90

root = Path(sys.argv[1]) / "vllm" / "steer_vectors"
random.seed(20260806)


def module(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[name] = loaded
    spec.loader.exec_module(loaded)
    return loaded


for package in ("vllm", "vllm.steer_vectors"):
    sys.modules[package] = types.ModuleType(package)
module("vllm.steer_vectors.geometry", root / "geometry.py")
clause = module("clause", root / "algorithms" / "clause.py")


def samples():
    """Token ids of each sample: its prompt, and the alphabet after it."""
    return [[*map(ord, prompt), *(97 + i for i in range(DRAWN - 1))] for prompt in PROMPTS]


def steps():
    """Spans (sample, from, to) of each step."""
    fed, ends = [0] * len(PROMPTS), [len(tokens) for tokens in samples()]
    while fed != ends:
        step = []
        for sample, prompt in enumerate(map(len, PROMPTS)):
            stop = min(fed[sample] + CHUNK, prompt) if fed[sample] < prompt else min(fed[sample] + 1, ends[sample])
            if stop > fed[sample]:
                step.append((sample, fed[sample], stop))
                fed[sample] = stop
        yield step


def selected(spec):
    """[sample, position] of each row that is kept, sorted."""
    rows = []
    for step in steps():
        lengths = [len(PROMPTS[sample]) for sample, _, _ in step]
        starts = [0]
        for _, begin, stop in step:
            starts.append(starts[-1] + stop - begin)
        info = {
            "query_start_loc": torch.tensor(starts),
            "num_computed": torch.tensor([begin for _, begin, _ in step]),
            "is_decode_mask": torch.tensor([begin >= prompt for (_, begin, _), prompt in zip(step, lengths)]),
            "num_output_tokens": torch.tensor([max(0, begin - prompt + 1) for (_, begin, _), prompt in zip(step, lengths)]),
            "num_prompt_tokens": torch.tensor(lengths),
        }
        tokens = torch.tensor([token for sample, begin, stop in step for token in samples()[sample][begin:stop]])
        flat = [[sample, at] for sample, begin, stop in step for at in range(begin, stop)]
        found = clause.collect_positions_apply_spec(tokens, info, spec)
        rows += [flat[index] for index in ([] if found is None else found.tolist())]
    return sorted(rows)


def some(values, most):
    return sorted(random.sample(values, random.randint(1, most)))


def window(starts, lengths):
    start = random.choice(starts)
    return [start, random.choice([None, *(start + length for length in lengths if (start < 0) == (start + length < 0))])]


def fields():
    # Positions beyond a prompt are left out: there EasySteer takes the prompt's last token instead, and moescope nothing.
    return {
        "prompt_tokens": lambda: some([97, 98, 99, 100, 101, 102], 3),
        "prompt_positions": lambda: some([0, 1, 2, -1, -2, -3, -8], 3),
        "prompt_window": lambda: window([0, 1, 4, -1, -2, -5, -9], [1, 2, 5]),
        "generation_tokens": lambda: some([97, 98, 99, 100, 101], 2),
        "generation_positions": lambda: some([0, 1, 2, 4, 9], 3),
        "generation_window": lambda: window([0, 1, 3, 7], [1, 3]),
    }


def case():
    phases = random.choice([["prompt"], ["generation"], ["prompt", "generation"]])
    spec = {}
    for phase in phases:
        own = [name for name in fields() if name.startswith(phase)]
        if random.random() < 0.3:
            spec[phase] = "all"
        else:
            spec.update({name: fields()[name]() for name in some(own, len(own))})
        if random.random() < 0.5:
            spec.update({f"exclude_{name}": fields()[name]() for name in some(own, 2)})
    return {"spec": spec, "rows": selected(spec)}


json.dump({"prompts": PROMPTS, "maxTokens": DRAWN, "cases": [case() for _ in range(CASES)]}, sys.stdout)
