"""What capturing costs on a GPU: times of the same work with and without, alternating in one process.

usage: python bench/vllm/speed.py plugin|bare|eager [--layers 48] [--runs 5] [--tensor-parallel-size 1] [--rows FILE] [--streams a,b] [--modes none,routing]
plugin: CUDA graphs, the plugin loaded; every workload without a capture, then with more and more streams, `--runs` rounds.
bare: CUDA graphs, the plugin not loaded: the baseline that knows nothing of it. eager: the plugin, but no CUDA graphs.
--rows: write captured rows of six prompts (plugin), or compare with those written before (eager).

Needs a GPU with 80 GB and vLLM. Prints one JSON line a workload; `compare.py` puts the lines of several processes side by side. The
model has the shape of Qwen3-30B-A3B and random weights: speed does not depend on them.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
import uuid
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]

QWEN3_30B_A3B = {
    "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 2048, "num_attention_heads": 32,
    "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8, "moe_intermediate_size": 768,
    "intermediate_size": 6144, "vocab_size": 151936, "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [],
    "rope_theta": 1e6, "max_position_embeddings": 40960, "rms_norm_eps": 1e-6, "tie_word_embeddings": False,
    "torch_dtype": "bfloat16", "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2, "use_sliding_window": False,
}  # fmt: skip

#: (requests, prompt tokens, generated tokens)
WORKLOADS = ((1, 128, 128), (32, 128, 128), (128, 128, 128), (16, 2048, 1))

MODES = {
    "none": (),
    "router_logits": ("router_logits",),
    "routing": ("router_logits", "expert_ids", "expert_weights"),
    "routing+hidden": (
        "router_logits",
        "expert_ids",
        "expert_weights",
        "hidden_states",
    ),
}


def main() -> None:
    options = parse_arguments()
    llm = load(options)
    if options.rows and options.kind != "bare":
        check_rows(llm, options)
    modes = (
        [mode for mode in options.modes if set(MODES[mode]) <= set(options.streams)]
        if options.kind != "bare"
        else ["none"]
    )
    numbers = random.Random(1)
    for requests, prompt, generated in (
        WORKLOADS[number] for number in options.workloads
    ):
        times: dict[str, list[tuple[float, float]]] = {mode: [] for mode in modes}
        for turn in range(-1, options.runs):  # the first is a warm-up
            # Each round starts with another mode: what one leaves behind (freed gigabytes) must not always meet the same next one.
            first = turn % len(modes)
            for mode in modes[first:] + modes[:first]:
                prompts = [
                    [numbers.randrange(5, 150000) for _ in range(prompt)]
                    for _ in range(requests)
                ]
                measured = run(llm, prompts, generated, MODES[mode])
                if turn >= 0:
                    times[mode].append(measured)
        line = {
            "kind": options.kind,
            "gpus": options.tensor_parallel_size,
            "hidden_states": "hidden_states" in options.streams,
            "workload": f"{requests} x ({prompt} + {generated})",
            "seconds": {
                mode: [round(engine, 4) for engine, _ in values]
                for mode, values in times.items()
            },
            "until_last_row": {
                mode: round(statistics.median(last for _, last in values), 4)
                for mode, values in times.items()
            },
        }
        if len(modes) > 1:
            line["ratio"] = {
                mode: ratio(times[mode], times["none"]) for mode in modes[1:]
            }
        print(json.dumps(line), flush=True)


def ratio(
    values: list[tuple[float, float]], baseline: list[tuple[float, float]]
) -> float:
    """Median over rounds of one round's time by the same round's baseline."""
    return round(
        statistics.median(
            value / base for (value, _), (base, _) in zip(values, baseline, strict=True)
        ),
        4,
    )


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("kind", choices=("plugin", "bare", "eager"))
    parser.add_argument("--layers", type=int, default=48)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--tensor-parallel-size", type=int, default=1)
    parser.add_argument("--rows", type=Path)
    parser.add_argument(
        "--streams",
        default=",".join(MODES["routing+hidden"]),
        help="what the process is started with",
    )
    parser.add_argument(
        "--modes",
        default=",".join(MODES),
        help="what the workloads capture; default all that the streams allow",
    )
    parser.add_argument(
        "--workloads",
        type=lambda text: [int(part) for part in text.split(",")],
        default=range(len(WORKLOADS)),
    )
    options = parser.parse_args()
    options.modes = options.modes.split(",")
    options.streams = options.streams.split(",")
    return options


def load(options: argparse.Namespace):
    os.environ |= {
        "HF_HUB_OFFLINE": "1",
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "MOESCOPE_STREAMS": ",".join(options.streams),
    }
    # Rows wait for nobody here: the benchmark deletes them after each run.
    os.environ |= {
        "MOESCOPE_WAITS": "1",
        "MOESCOPE_HOST_BYTES": str(16 << 30),
        "MOESCOPE_SPOOL_BYTES": str(32 << 30),
    }
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    if options.kind != "bare":
        sys.path.insert(0, str(REPOSITORY / "python"))
        os.environ["PYTHONPATH"] = os.pathsep.join(sys.path[:1] + [os.environ.get("PYTHONPATH", "")])  # of the ranks
    from vllm import LLM

    folder = Path(tempfile.mkdtemp())
    (folder / "config.json").write_text(
        json.dumps(QWEN3_30B_A3B | {"num_hidden_layers": options.layers})
    )
    started = time.monotonic()
    llm = LLM(
        model=str(folder),
        load_format="dummy",
        skip_tokenizer_init=True,
        max_model_len=4096,
        max_num_batched_tokens=8192,
        max_num_seqs=128,
        gpu_memory_utilization=0.9,
        tensor_parallel_size=options.tensor_parallel_size,
        enable_prefix_caching=False,
        async_scheduling=True,
        enforce_eager=options.kind == "eager",
        attention_config={"backend": "TRITON_ATTN"},
    )
    print(f"# {options.kind}: loaded in {time.monotonic() - started:.0f} s", flush=True)
    return llm


def run(
    llm, prompts: list[list[int]], generated: int, streams: tuple[str, ...]
) -> tuple[float, float]:
    """Seconds until the engine has answered, and until the last captured row is in a file."""
    arguments = [None] * len(prompts)
    if streams:
        from moescope_vllm.collector import Collector
        from moescope_vllm.run import settle

        folder, plan, arguments = announce(llm, len(prompts), streams)
    started = time.perf_counter()
    generate(llm, prompts, generated, arguments)
    engine = time.perf_counter() - started
    if not streams:
        return engine, engine
    settle(llm.llm_engine)
    collector = Collector(folder, plan)
    while not collector.complete:
        collector.poll()
        time.sleep(0.001)
    last = time.perf_counter() - started
    remove(folder)
    return engine, last


def generate(
    llm, prompts: list[list[int]], generated: int, arguments: list[dict | None]
):
    from vllm import SamplingParams

    params = [
        SamplingParams(
            max_tokens=generated,
            temperature=0,
            ignore_eos=True,
            detokenize=False,
            extra_args=extra,
        )
        for extra in arguments
    ]
    return llm.generate(
        [{"prompt_token_ids": prompt} for prompt in prompts], params, use_tqdm=False
    )


def announce(llm, samples: int, streams: tuple[str, ...]):
    from moescope_vllm.plan import parse_plan
    from moescope_vllm.requests import write_plan
    from moescope_vllm.settings import settings

    layers = llm.collective_rpc("moescope_info")[0]["layers"]
    plan = parse_plan(
        {"streams": [{"name": stream, "layers": layers[stream]} for stream in streams]},
        samples,
    )
    key = uuid.uuid4().hex
    return (
        write_plan(settings().spool, key, plan),
        plan,
        [{"moescope": key, "moescope_sample": sample} for sample in range(samples)],
    )


def remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder)


def check_rows(llm, options: argparse.Namespace) -> None:
    """Rows of six prompts, batched and alone; in eager mode against those of the graphs."""
    import torch
    from moescope_vllm.collector import Collector, RowsReady
    from moescope_vllm.run import settle
    from safetensors.torch import load_file, save_file

    numbers = random.Random(0)
    shared = [numbers.randrange(5, 150000) for _ in range(48)]
    prompts = [
        shared + [numbers.randrange(5, 150000) for _ in range(length)]
        for length in (3, 17, 40, 90, 200, 333)
    ]
    streams, found = tuple(options.streams), []
    for batch in (prompts, [prompts[2]]):
        folder, plan, arguments = announce(llm, len(batch), streams)
        outputs = generate(llm, batch, 24, arguments)
        settle(llm.llm_engine)
        collector, parts = Collector(folder, plan), []
        while not collector.complete:
            parts += [
                load_file(item.path)
                for item in collector.poll()
                if isinstance(item, RowsReady)
            ]
        for sample, (prompt, output) in enumerate(zip(batch, outputs, strict=True)):
            masks = [part["sample"] == sample for part in parts]
            pairs = list(zip(parts, masks, strict=True))
            rows = {
                name: torch.cat([part[name][mask] for part, mask in pairs])
                for name in ("position", "token_id")
            }
            rows |= {
                name: torch.cat([part[name][:, mask] for part, mask in pairs], 1)
                for name in streams
            }
            tokens = [*prompt, *output.outputs[0].token_ids][:-1]
            assert rows["position"].tolist() == list(range(len(tokens))), (
                "rows are missing or out of order"
            )
            assert rows["token_id"].tolist() == tokens, "rows carry the wrong tokens"
            found.append(rows)
        remove(folder)
    print(
        f"# rows: {sum(len(rows['position']) for rows in found)}, each once, in order, with its token",
        flush=True,
    )
    for stream in streams:
        alone, batched = (
            found[-1][stream].float(),
            found[2][stream].float()[:, : found[-1][stream].shape[1]],
        )
        same = (alone == batched).float().mean().item()
        print(f"# {stream}: batch against alone, equal values {same:.4f}", flush=True)
    if options.kind == "plugin":
        save_file(
            {
                f"{i}.{name}": tensor.contiguous()
                for i, rows in enumerate(found)
                for name, tensor in rows.items()
            },
            options.rows,
        )
        return
    graphs = load_file(options.rows)
    for stream in streams:
        prompt_rows = [
            slice(0, len(prompt)) for prompt in prompts
        ]  # generated tokens may part after a rounding difference
        ours = torch.cat(
            [found[i][stream][:, rows].flatten() for i, rows in enumerate(prompt_rows)]
        ).double()
        theirs = torch.cat(
            [
                graphs[f"{i}.{stream}"][:, rows].flatten()
                for i, rows in enumerate(prompt_rows)
            ]
        ).double()
        if (
            stream == "expert_ids"
        ):  # names, not amounts; with random weights some experts are a rounding apart
            print(
                f"# {stream}: graphs against eager, equal {(ours == theirs).double().mean():.4f}",
                flush=True,
            )
            continue
        cosine = torch.nn.functional.cosine_similarity(ours, theirs, dim=0).item()
        largest = ((ours - theirs).abs().max() / theirs.std()).item()
        print(
            f"# {stream}: graphs against eager, cosine {cosine:.6f}, largest difference {largest:.4f} standard deviations",
            flush=True,
        )


if __name__ == "__main__":
    main()
