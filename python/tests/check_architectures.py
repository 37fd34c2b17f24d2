"""Every architecture against Hugging Face transformers: batches, chunked prefill, a warm prefix cache, generated tokens.

usage: python check_architectures.py [family ...]; ends with 77 for one family that vLLM or transformers does not have.
`family+compiled` runs a family with torch.compile and, on a GPU, CUDA graphs. MOESCOPE_RESULTS: see `results.py`.
"""

from __future__ import annotations

import contextlib
import gc
import sys
import traceback
from typing import Any

import cpu_stand_ins
import harness
import results
import torch
import transformers
from check_layers import expected_contracts
from checkpoints import family_of
from referee import Referee

FAMILIES = (
    *("mixtral", "deepseek_v2", "deepseek_v3", "qwen2_moe", "qwen3_moe", "qwen3_moe+compiled", "qwen3_vl_moe", "dbrx"),
    *("ernie4_5_moe", "glm4_moe", "glm4_moe_lite", "olmoe", "granitemoe", "granitemoe_shared", "granitemoe_hybrid", "phimoe", "llama4"),
    *("lfm2_moe", "dots1", "afmoe", "cohere2_moe", "exaone_moe", "gemma4", "laguna", "longcat_flash", "flex_olmo", "mellum", "mellum+compiled"),
    *("hunyuan_moe", "hunyuan_moe+compiled", "cohere", "exaone4", "stablelm", "gemma3", "glm4", "phi", "qwen3_dense"),
)

#: Exit status, as test runners have it for what cannot be run.
NOT_THERE = 77

ROUTED = ("router_logits", "expert_ids", "expert_weights")

#: What a family's engine needs besides.
ARGUMENTS = {"arctic": {"trust_remote_code": True}}

#: Streams a family does not have, and words of the reason.
REFUSED: dict[str, dict[str, str]] = {}

#: Taps whose tensor vLLM writes into before the step ends: Llama 4 has multiplied the input by its weights by then, zero experts give
#: way to expert 0.
WRITTEN = {"llama4": {"expert_weights"}, "longcat_flash": {"expert_ids", "expert_weights"}}

SHARED = [(7 * i) % 250 + 20 for i in range(64)]
#: One longer than a step's budget, two with a prefix in common, one short.
PROMPTS = [SHARED, [*SHARED, *range(100, 120)], [*SHARED[:32], *range(200, 230)], list(range(30, 35))]
GENERATED = 6


def absent(name: str) -> str | None:
    """Why a family cannot be checked here: older versions of vLLM and transformers do not have each."""
    family = family_of(name)
    if family.build is None and not hasattr(transformers, family.model_class):
        return f"transformers {transformers.__version__} has no {family.model_class}"
    from vllm import ModelRegistry, __version__

    in_vllm = family.model_class in ModelRegistry.get_supported_archs()
    return None if in_vllm or hasattr(transformers, family.model_class) else f"vLLM {__version__} has no {family.model_class}"


def check(choice: str) -> None:
    name, _, mode = choice.partition("+")
    if not torch.cuda.is_available():
        cpu_stand_ins.install(name)
    expected = harness.reference(name)
    compiled = mode == "compiled"
    arguments = ARGUMENTS.get(name, {}) | (harness.COMPILED if compiled else {})
    # On a CPU MoE layers are traced, and vLLM's own capture cannot be.
    referee = None if compiled and not torch.cuda.is_available() else Referee()
    with referee or contextlib.nullcontext():
        llm = harness.load(expected.checkpoint, enable_prefix_caching=True, **arguments)
        check_engine(choice, llm, expected, referee)


def check_engine(choice: str, llm: Any, expected: harness.Reference, referee: Referee | None) -> None:
    name = choice.partition("+")[0]
    try:
        (info,) = llm.collective_rpc("moescope_info")
        check_streams(name, info)
        from vllm import SamplingParams

        warm = SamplingParams(max_tokens=1, temperature=0, detokenize=False)
        llm.generate([{"prompt_token_ids": prompt} for prompt in PROMPTS], warm, use_tqdm=False)
        got = harness.capture(llm, PROMPTS, GENERATED)
        differences = []
        for number, (prompt, sample, output) in enumerate(zip(PROMPTS, got.samples, got.outputs, strict=True)):
            tokens = [*prompt, *output[:-1]]
            differences.append(harness.check_sample(sample, expected.values(tokens), tokens, len(prompt), f"{choice} sample {number}"))
        harness.judge(choice, harness.worst(differences))
        if referee is not None and "expert_ids" in info["layers"]:
            referee.judge(choice)
        print(f"{choice}: checked in {info['checkSeconds']:.2f} s when it was loaded", flush=True)
        record(name, llm, harness.worst(differences), info["refused"])
    finally:
        llm.llm_engine.engine_core.shutdown()
        del llm
        gc.collect()


def check_streams(name: str, info: dict[str, Any]) -> None:
    """That the family has the streams it should have, and that the rule it is said to have is not merely declared."""
    refused = REFUSED.get(name, {})
    family = family_of(name)
    every = {"hidden_states", *(ROUTED if family.gating else ())}
    assert set(info["layers"]) == every - refused.keys(), f"{name}: has {sorted(info['layers'])}, refused {info['refused']}"
    for stream, words in refused.items():
        assert words in info["refused"][stream], f"{name}: {stream} is refused because {info['refused'][stream]}"
    for number, contract in info["hidden"].items():
        expected = expected_contracts(info["layerClasses"][number])
        assert expected is None or contract in expected, f"{name}: layer {number} hands on {contract}, its source says {expected}"
    if not torch.cuda.is_available():
        written = {tap.partition(".")[0] for tap in info["written"]} - {"hidden_states"}
        assert written == WRITTEN.get(name, set()), f"{name}: vLLM writes into {written}"


def record(name: str, llm: Any, differences: dict[str, float], refused: dict[str, str]) -> None:
    architecture = llm.llm_engine.model_config.architectures[0]
    family = family_of(name)
    if not family.gating:
        return  # the table is of architectures with experts
    reference = family.reference or f"transformers {transformers.__version__} {family.model_class}"
    found = {**differences, **({"expert_ids": 0.0} if "expert_weights" in differences else {})}
    results.proven(architecture, name, found, reference)
    if refused:
        results.without_proof("refused", architecture, name, refused)


def main() -> None:
    wanted = sys.argv[1:] or FAMILIES
    if len(wanted) == 1 and (why := absent(wanted[0].partition("+")[0])):
        print(f"{wanted[0]} is not there: {why}", flush=True)
        sys.exit(NOT_THERE)
    failed = []
    for choice in wanted:
        try:
            check(choice)
        except Exception:  # noqa: BLE001
            traceback.print_exc()
            failed.append(choice)
    print("failed: " + ", ".join(failed) if failed else f"all {len(wanted)} agree", flush=True)
    sys.exit(bool(failed))


if __name__ == "__main__":
    main()
