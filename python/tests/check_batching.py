"""Every row once, labelled, none missing: chunked prefill, a warm prefix cache, preemption, texts that end early, selections.

usage: python check_batching.py [engine arguments as JSON]
"""

from __future__ import annotations

import json
import sys

import harness

SHARED = [(7 * i) % 250 + 20 for i in range(64)]
PROMPTS = [SHARED, [*SHARED, *range(100, 111)], [*SHARED[:32], *range(200, 275)], list(range(30, 35)), [*SHARED, *range(100, 120)]]
GENERATED = 40


def preemptions(llm) -> int:
    return int(sum(metric.value for metric in llm.get_metrics() if metric.name == "vllm:num_preemptions"))


def check_all(got: harness.Captured, expected: harness.Reference, what: str) -> None:
    differences = []
    for number, (prompt, sample, output) in enumerate(zip(PROMPTS, got.samples, got.outputs, strict=True)):
        tokens = [*prompt, *output[:-1]]
        differences.append(harness.check_sample(sample, expected.values(tokens), tokens, len(prompt), f"{what}, sample {number}"))
    harness.judge(what, harness.worst(differences))


def main() -> None:
    from vllm import SamplingParams

    further = json.loads(sys.argv[1]) if len(sys.argv) > 1 else {}
    expected = harness.reference("qwen3_moe")
    small = {"max_num_batched_tokens": 32, "block_size": 32, "num_gpu_blocks_override": 10, "disable_log_stats": False}
    llm = harness.load(expected.checkpoint, enable_prefix_caching=True, **small, **further)

    def generate(**sampling) -> list[list[int]]:
        params = SamplingParams(**{"max_tokens": GENERATED, "temperature": 0, "ignore_eos": True, "detokenize": False, **sampling})
        outputs = llm.generate([{"prompt_token_ids": prompt} for prompt in PROMPTS], params, use_tqdm=False)
        return [list(output.outputs[0].token_ids) for output in outputs]

    plain = generate()
    before = preemptions(llm)
    for round in (1, 2):
        got = harness.capture(llm, PROMPTS, GENERATED)
        check_all(got, expected, f"round {round}")
        assert got.outputs == plain, "capturing changed what is generated"
    assert preemptions(llm) > before, "nothing was preempted: the check needs a smaller cache"
    print(f"preemptions: {preemptions(llm) - before}", flush=True)

    # A text that ends before its limit: the engine may have begun a step for a token that turns out not to follow.
    stop = plain[0][5]
    got = harness.capture(llm, PROMPTS, GENERATED, stop_token_ids=[stop])
    assert len(got.outputs[0]) <= 6 and got.outputs[0][-1] == stop
    check_all(got, expected, "stopped early")

    whole = harness.capture(llm, PROMPTS, 6)
    for select, wanted in (
        ({"phase": "generated"}, lambda rows, prompt: list(range(prompt, rows))),
        ({"phase": "prompt", "last": 2}, lambda rows, prompt: [prompt - 2, prompt - 1]),
        ({"last": 3}, lambda rows, prompt: list(range(rows - 3, rows))),
        ({"positions": [0, 3, 70]}, lambda rows, prompt: [position for position in (0, 3, 70) if position < rows]),
    ):
        got = harness.capture(llm, PROMPTS, 6, streams={"router_logits": [1], "hidden_states": [0, 2]}, select=select)
        for full, part, prompt in zip(whole.samples, got.samples, PROMPTS, strict=True):
            positions = wanted(len(full["position"]), len(prompt))
            assert part["position"].tolist() == positions, (select, part["position"].tolist(), positions)
            for name in ("router_logits.1", "hidden_states.0", "hidden_states.2"):
                difference = (part[name] - full[name][positions]).abs().max()
                assert difference < 1e-4, (select, name, difference)
            assert set(part) == {"position", "token_id", "phase", "router_logits.1", "hidden_states.0", "hidden_states.2"}
    print("batching: all good", flush=True)


if __name__ == "__main__":
    main()
