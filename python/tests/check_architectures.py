"""Every architecture against Hugging Face transformers: batches, chunked prefill, a warm prefix cache, generated tokens.

usage: python check_architectures.py [family ...]
`family+compiled` runs a family with torch.compile and, on a GPU, CUDA graphs.
"""

from __future__ import annotations

import gc
import sys
import traceback

import cpu_stand_ins
import harness
import torch

FAMILIES = (
    *("mixtral", "deepseek_v2", "qwen2_moe", "qwen3_moe", "qwen3_moe+compiled", "qwen3_vl_moe"),
    *("dbrx", "arctic", "ernie4_5_moe", "glm4_moe", "olmoe"),
)

#: What a family's engine needs besides.
ARGUMENTS = {"arctic": {"trust_remote_code": True}}

SHARED = [(7 * i) % 250 + 20 for i in range(64)]
#: One longer than a step's budget, two with a prefix in common, one short.
PROMPTS = [SHARED, [*SHARED, *range(100, 120)], [*SHARED[:32], *range(200, 230)], list(range(30, 35))]
GENERATED = 6


def check(choice: str) -> None:
    name, _, mode = choice.partition("+")
    if not torch.cuda.is_available():
        cpu_stand_ins.install(name)
    expected = harness.reference(name)
    arguments = ARGUMENTS.get(name, {}) | (harness.COMPILED if mode == "compiled" else {})
    llm = harness.load(expected.checkpoint, enable_prefix_caching=True, **arguments)
    try:
        from vllm import SamplingParams

        warm = SamplingParams(max_tokens=1, temperature=0, detokenize=False)
        llm.generate([{"prompt_token_ids": prompt} for prompt in PROMPTS], warm, use_tqdm=False)
        got = harness.capture(llm, PROMPTS, GENERATED)
        differences = []
        for number, (prompt, sample, output) in enumerate(zip(PROMPTS, got.samples, got.outputs, strict=True)):
            tokens = [*prompt, *output[:-1]]
            differences.append(harness.check_sample(sample, expected.values(tokens), tokens, len(prompt), f"{choice} sample {number}"))
        harness.judge(choice, harness.worst(differences))
    finally:
        llm.llm_engine.engine_core.shutdown()
        del llm
        gc.collect()


def main() -> None:
    wanted = sys.argv[1:] or FAMILIES
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
