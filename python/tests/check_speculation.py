"""Speculative decoding against Hugging Face transformers: drafts that are accepted and drafts that are rejected, in batches with chunked prefill
and preemption. Every row of the text once, none of a draft that was not taken, and none of the drafter's own layers.

usage: python check_speculation.py [ngram | draft | mtp | eagle ...] [engine arguments as JSON]
"""

from __future__ import annotations

import gc
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import drafters
import harness
import torch
from check_batching import PROMPTS

#: A pattern that repeats is what n-grams are found in.
REPEATING = [*[11, 23, 37, 41] * 6, 11, 23]
TEXTS = [*PROMPTS, REPEATING]
GENERATED = 32

#: On a CPU vLLM 0.32 ends with "CPU Generator does not use offset" when a prompt that has a seed is computed in parts.
SEED = {"seed": 3} if torch.cuda.is_available() else {}


def speculation(method: str, expected: harness.Reference) -> dict[str, Any]:
    if method == "ngram":
        return {"method": "ngram", "num_speculative_tokens": 3, "prompt_lookup_max": 3, "prompt_lookup_min": 1}
    drafter = drafters.MAKE[method](expected.checkpoint, Path(harness.FOLDER.name) / f"drafter-{method}")
    return {"num_speculative_tokens": 3, **drafter}


def counts(llm: Any) -> dict[str, int]:
    names = ("vllm:spec_decode_num_draft_tokens", "vllm:spec_decode_num_accepted_tokens", "vllm:num_preemptions")
    metrics = {metric.name: metric.value for metric in llm.get_metrics() if metric.name in names}
    return {name.rsplit(":", 1)[1]: int(metrics.get(name, 0)) for name in names}


def check(method: str, further: dict[str, Any]) -> None:
    expected = harness.reference(drafters.TARGETS.get(method, "qwen3_moe"))
    drafter = speculation(method, expected)
    small = {"max_num_batched_tokens": 64, "block_size": 32, "num_gpu_blocks_override": 12, "disable_log_stats": False, **further}
    llm = harness.load(expected.checkpoint, **small)
    plain = generate(llm)
    close(llm)
    llm = harness.load(expected.checkpoint, speculative_config=drafter, **small)
    print(f"{method}: {describe(llm)}", flush=True)
    streams = set(llm.collective_rpc("moescope_info")[0]["layers"]["hidden_states"])
    layers = llm.llm_engine.model_config.get_total_num_hidden_layers()
    assert streams == set(range(layers)), f"layers of the drafter among the model's: {streams}"
    rounds: list[tuple[dict[str, Any] | None, dict[str, Any]]] = [
        (None, {}),
        ({"phase": "generated", "last": 5}, {}),
        ({"positions": [0, 30, 64, 80]}, {}),
        (None, {"temperature": 1.0, **SEED}),  # most drafts are wrong
        (None, {"stop_token_ids": [plain[0][5], plain[3][9]]}),  # texts that end between drafts
    ]
    for number, (selection, sampling) in enumerate(rounds):
        before = counts(llm)
        got = harness.capture(llm, TEXTS, GENERATED, select=selection, **sampling)
        after = counts(llm)
        drafts, accepted, preempted = (after[name] - before[name] for name in after)
        print(f"{method}: {drafts} drafts, {accepted} accepted, {preempted} preemptions", flush=True)
        if not sampling:
            assert 0 < accepted < drafts, "the check needs drafts of both kinds"
            assert got.outputs == plain, f"{method}: speculation changed what is generated"
        compare(got, expected, selection, f"{method}, round {number}")
    close(llm)


def describe(llm: Any) -> str:
    """What runs: the runner, and how its steps are scheduled."""
    config = llm.llm_engine.vllm_config
    runner = "second" if config.use_v2_model_runner else "first"
    return f"{runner} runner, {'async' if config.scheduler_config.async_scheduling else 'sync'} scheduling"


def compare(got: harness.Captured, expected: harness.Reference, selection: dict[str, Any] | None, what: str) -> None:
    differences = []
    for number, (prompt, sample, output) in enumerate(zip(TEXTS, got.samples, got.outputs, strict=True)):
        tokens = [*prompt, *output[:-1]]
        values = expected.values(tokens)
        if selection is None:
            differences.append(harness.check_sample(sample, values, tokens, len(prompt), f"{what}, sample {number}"))
            continue
        rows = list(range(len(tokens)))
        if "last" in selection:
            rows = rows[len(prompt) :][-selection["last"] :]
        else:
            rows = [row for row in rows if row in selection["positions"]]
        assert sample["position"].tolist() == rows, (what, number, sample["position"].tolist(), rows)
        assert sample["token_id"].tolist() == [tokens[row] for row in rows], (what, number)
        for name in sample:
            if name.startswith(("router_logits.", "hidden_states.")):
                difference = (sample[name].float() - values[name][rows].float()).abs().max().item()
                assert difference < harness.TOLERANCE[name.partition(".")[0]], (what, number, name, difference)
    if differences:
        harness.judge(what, harness.worst(differences))


def generate(llm: Any) -> list[list[int]]:
    from vllm import SamplingParams

    params = SamplingParams(max_tokens=GENERATED, temperature=0, ignore_eos=True, detokenize=False)
    outputs = llm.generate([{"prompt_token_ids": prompt} for prompt in TEXTS], params, use_tqdm=False)
    return [list(output.outputs[0].token_ids) for output in outputs]


def close(llm: Any) -> None:
    llm.llm_engine.engine_core.shutdown()
    gc.collect()


def main() -> None:
    further = json.loads(sys.argv[-1]) if sys.argv[-1].startswith("{") else {}
    methods = [argument for argument in sys.argv[1:] if not argument.startswith("{")] or ["ngram", *drafters.MAKE]
    if len(methods) == 1:
        return check(methods[0], further)
    for method in methods:
        # Each in a process of its own: vLLM 0.32 cannot make a second engine where numba, which finds n-grams, has been imported.
        subprocess.run([sys.executable, __file__, method, json.dumps(further)], check=True)
    print(f"speculation: all {len(methods)} good", flush=True)


if __name__ == "__main__":
    main()
