"""Embedding models against Hugging Face transformers (and, for NomicMoE, the published code): rows of every prompt token and the pooled vector,
in batches, with and without chunked prefill and a warm prefix cache.

usage: python check_pooling.py [family ...]
"""

from __future__ import annotations

import gc
import sys
import traceback
from typing import Any

import cpu_stand_ins
import embedders
import harness
import results
import torch

#: Lengths that share steps: several short ones, some that fill a step's budget.
LENGTHS = (5, 1, 17, 40, 3, 33, 23)


def check(name: str) -> None:
    if not torch.cuda.is_available():
        cpu_stand_ins.install(name)
    model = embedders.build(name)
    prompts = model.prompts(LENGTHS)
    llm = harness.load(model.checkpoint, runner="pooling", **model.arguments)
    config = llm.llm_engine.model_config
    print(f"{name}: {config.architecture}, {config.attn_type}, {config.pooler_config.seq_pooling_type}", flush=True)
    # As sentence-transformers has it: without a module that normalises, the vector stays as it is.
    assert config.pooler_config.use_activation is False, config.pooler_config
    refuse_generation(llm)
    (info,) = llm.collective_rpc("moescope_info")
    found: dict[str, float] = {}
    for number, selection in enumerate((None, None, {"last": 2}, {"phase": "generated"})):  # the second time the prefix cache is warm
        normalized = number == 1
        got = harness.capture_pooled(llm, prompts, select=selection, use_activation=normalized or None)
        differences = compare(model, prompts, got, selection, normalized, f"{name}, round {number}")
        found = {stream: max(value, found.get(stream, 0.0)) for stream, value in differences.items()} or found
    if info["moe"]:
        found["expert_ids"] = 0.0
        results.proven(config.architectures[0], name, found, "nomic_moe.py, after nomic's published code")
    llm.llm_engine.engine_core.shutdown()
    gc.collect()


def compare(
    model: Any, prompts: list[list[int]], got: harness.Captured, selection: dict[str, Any] | None, normalized: bool, what: str
) -> dict[str, float]:
    """Returns the largest differences of the streams; none where rows are selected."""
    differences, vectors = [], []
    for number, (prompt, sample, vector) in enumerate(zip(prompts, got.samples, got.vectors, strict=True)):
        values, pooled = model.values(prompt)
        expected = torch.nn.functional.normalize(pooled, dim=-1) if normalized else pooled
        vectors.append((vector - expected).abs().max().item())
        if selection is None:
            assert set(sample) - {"position", "token_id", "phase"} == set(values), f"{what}: {sorted(sample)} for {sorted(values)}"
            differences.append(harness.check_sample(sample, values, prompt, len(prompt), f"{what}, sample {number}"))
        else:
            rows = list(range(len(prompt)))[-selection["last"] :] if "last" in selection else []
            assert sample["position"].tolist() == rows, (what, number, sample["position"].tolist())
    found = harness.worst(differences) if differences else {}
    harness.judge(what, {**found, "vector": max(vectors)}, harness.TOLERANCE["hidden_states"])
    return found


def refuse_generation(llm: Any) -> None:
    try:
        llm.generate([{"prompt_token_ids": [3, 4]}], use_tqdm=False)
    except ValueError:
        return
    raise AssertionError("a pooling model was asked to generate, and did")


def main() -> None:
    wanted, failed = sys.argv[1:] or embedders.NAMES, []
    for name in wanted:
        try:
            check(name)
        except Exception:  # noqa: BLE001
            traceback.print_exc()
            failed.append(name)
    print("failed: " + ", ".join(failed) if failed else f"pooling: all {len(wanted)} agree", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
