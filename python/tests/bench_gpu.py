"""What the plugin costs on GPUs, against vLLM without it and against no capture, in one run: python python/tests/bench_gpu.py [--tensor-parallel-size 1 2]

For each number of GPUs two engines are started, one without the plugin and one with it, and take turns: in every round each workload runs once in
each way, in an order that changes. The table has medians over the rounds of a round's time by the same round's baseline. The last column is the time
until the last row is in a file, by the time until the engine has answered, with the rows' bytes by that time.

Needs GPUs of 80 GB and vLLM; 4 minutes a number of GPUs on an H200. The model is a Qwen3-MoE with random weights (speed does not depend on them).
Prints the times as JSON lines, then the table.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Any

PYTHON = Path(__file__).resolve().parents[1]

MODEL = {
    "architectures": ["Qwen3MoeForCausalLM"], "model_type": "qwen3_moe", "hidden_size": 2048, "num_attention_heads": 32,
    "num_key_value_heads": 4, "head_dim": 128, "num_experts": 128, "num_experts_per_tok": 8, "intermediate_size": 6144, "vocab_size": 151936,
    "norm_topk_prob": True, "decoder_sparse_step": 1, "mlp_only_layers": [], "rope_theta": 1e6, "max_position_embeddings": 40960,
    "rms_norm_eps": 1e-6, "tie_word_embeddings": False, "torch_dtype": "bfloat16", "hidden_act": "silu", "bos_token_id": 1, "eos_token_id": 2,
    "use_sliding_window": False,
}  # fmt: skip

#: (requests, prompt tokens, generated tokens)
WORKLOADS = ((1, 128, 128), (64, 128, 128), (16, 2048, 1))

BARE, NONE = "no plugin", "no capture"
WAYS: dict[str, tuple[str, ...]] = {
    BARE: (),
    NONE: (),
    "router logits": ("router_logits",),
    "+ ids and weights": ("router_logits", "expert_ids", "expert_weights"),
    "+ hidden states": ("router_logits", "expert_ids", "expert_weights", "hidden_states"),
}


def main() -> None:
    options = parse_arguments()
    if options.engine:
        return serve(options)
    lines = []
    for gpus in options.tensor_parallel_size:
        lines += measure(options, gpus)
    table(lines)
    return None


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tensor-parallel-size", type=int, nargs="+", default=[1])
    parser.add_argument("--layers", type=int, default=48)
    parser.add_argument("--expert-size", type=int, default=512, help="moe_intermediate_size; two engines must fit: 20 GB each with 256")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ways", default=",".join(WAYS), help="the first is the baseline that knows nothing of the plugin")
    parser.add_argument("--attention", default="TRITON_ATTN", help="vLLM's attention backend")
    parser.add_argument("--small", action="store_true", help="a model and workloads that a CPU can run: to try this program")
    parser.add_argument("--engine", choices=("bare", "plugin"), help="(for the program itself)")
    options = parser.parse_args()
    options.workloads = ((1, 8, 4), (4, 8, 4), (2, 64, 1)) if options.small else WORKLOADS
    options.ways = [way for way in WAYS if way in options.ways.split(",")]
    return options


# -- the program that measures ---------------------------------------------------------------------------------------------------------


class Engine:
    """A process with an engine. Starting it takes a minute or two; :meth:`ready` waits for that."""

    def __init__(self, kind: str, gpus: int, options: argparse.Namespace, log: Path) -> None:
        command = [sys.executable, __file__, "--engine", kind, "--tensor-parallel-size", str(gpus), "--layers", str(options.layers)]
        command += ["--expert-size", str(options.expert_size), "--attention", options.attention, *(["--small"] if options.small else [])]
        self.log = log
        with log.open("wb") as out:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=out, text=True)

    def ready(self) -> None:
        print(f"# {self.log.stem}: {self._answer()}", flush=True)

    def run(self, **work: Any) -> dict[str, Any]:
        self._process.stdin.write(json.dumps(work) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        self._process.stdin.close()
        try:
            self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _answer(self) -> dict[str, Any]:
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"{self.log} ends with\n{self.log.read_text(errors='replace')[-4000:]}")
        return json.loads(line)


def measure(options: argparse.Namespace, gpus: int) -> list[dict[str, Any]]:
    folder, lines = Path(tempfile.mkdtemp(prefix="moescope-bench-")), []
    kinds = ["bare"] * (BARE in options.ways) + ["plugin"] * (options.ways != [BARE])
    engines = {kind: Engine(kind, gpus, options, folder / f"{kind}-{gpus}.log") for kind in kinds}
    try:
        for engine in engines.values():
            engine.ready()
        for requests, prompt, generated in options.workloads:
            found: dict[str, list[dict[str, Any]]] = {way: [] for way in options.ways}
            for turn in range(-1, options.rounds):  # the first warms up
                first = turn % len(options.ways)  # what one leaves behind must not always meet the same next one
                for way in options.ways[first:] + options.ways[:first]:
                    engine = engines["bare" if way == BARE else "plugin"]
                    times = engine.run(requests=requests, prompt=prompt, generated=generated, streams=WAYS[way])
                    if turn >= 0:
                        found[way].append(times)
            lines.append({"gpus": gpus, "workload": f"{requests} x ({prompt} + {generated})", "times": found})
            print(json.dumps(lines[-1]), flush=True)
    finally:
        for engine in engines.values():
            engine.close()
    shutil.rmtree(folder)
    return lines


def table(lines: list[dict[str, Any]]) -> None:
    print("| GPUs | requests x (prompt + generated) | what | seconds | to no plugin | to no capture | fastest to fastest | last row (s) | by the answer | rows |")
    print("|---|---|---|---|---|---|---|---|---|---|")
    for line in lines:
        for way, times in line["times"].items():
            seconds, last = ([entry[name] for entry in times] for name in ("seconds", "last"))
            size = times[0]["bytes"]
            cells = [str(line["gpus"]), line["workload"], way, f"{statistics.median(seconds):.3f}"]
            cells += [ratio(line["times"], way, baseline) for baseline in (BARE, NONE)]
            base = line["times"].get(NONE) or times
            cells.append(f"{min(seconds) / min(entry['seconds'] for entry in base):.3f}")
            if size:
                by_answer = statistics.median(b / a for a, b in zip(seconds, last, strict=True))
                cells += [f"{statistics.median(last):.3f}", f"{by_answer:.2f}", f"{size / 1e9:.2f} GB, {size / 1e9 / statistics.median(last):.1f} GB/s"]
            else:
                cells += [""] * 3
            print("| " + " | ".join(cells) + " |")


def ratio(times: dict[str, list[dict[str, Any]]], way: str, baseline: str) -> str:
    if baseline not in times:
        return ""
    pairs = zip(times[way], times[baseline], strict=True)
    return f"{statistics.median(one['seconds'] / other['seconds'] for one, other in pairs):.3f}"


# -- the engine ------------------------------------------------------------------------------------------------------------------------


def serve(options: argparse.Namespace) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # vLLM prints
    started = time.monotonic()
    llm = load(options)
    print(json.dumps({"loaded": round(time.monotonic() - started, 1)}), file=answers, flush=True)
    numbers = random.Random(1)
    for line in sys.stdin:
        work = json.loads(line)
        prompts = [[numbers.randrange(5, 500 if options.small else 150_000) for _ in range(work["prompt"])] for _ in range(work["requests"])]
        print(json.dumps(run(llm, prompts, work["generated"], work["streams"])), file=answers, flush=True)


def load(options: argparse.Namespace) -> Any:
    os.environ |= {"HF_HUB_OFFLINE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0"}
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "WARNING")
    if options.engine == "plugin":
        # Rows wait for nobody: they are looked at and deleted after each run.
        os.environ |= {"MOESCOPE_WAITS": "1", "MOESCOPE_HOST_BYTES": str(16 << 30), "MOESCOPE_SPOOL_BYTES": str(32 << 30)}
        sys.path.insert(0, str(PYTHON))
        os.environ["PYTHONPATH"] = os.pathsep.join([str(PYTHON), os.environ.get("PYTHONPATH", "")])  # of the ranks
    from vllm import LLM

    config = MODEL | {"num_hidden_layers": options.layers, "moe_intermediate_size": options.expert_size}
    if options.small:
        config |= {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "num_key_value_heads": 2, "head_dim": 32, "num_experts": 8,
                   "num_experts_per_tok": 2, "moe_intermediate_size": 32, "intermediate_size": 64, "vocab_size": 512}  # fmt: skip
    folder = Path(tempfile.mkdtemp())
    (folder / "config.json").write_text(json.dumps(config))
    room: dict[str, Any] = {"max_model_len": 4096, "max_num_batched_tokens": 8192, "max_num_seqs": 128, "kv_cache_memory_bytes": 8 << 30,
                            "gpu_memory_utilization": 0.35, "attention_config": {"backend": options.attention}}  # fmt: skip
    if options.small:
        os.environ |= {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
        room = {"max_model_len": 256, "max_num_batched_tokens": 256, "max_num_seqs": 8, "enforce_eager": True}
    try:
        return LLM(model=str(folder), load_format="dummy", skip_tokenizer_init=True, tensor_parallel_size=options.tensor_parallel_size[0],
                   enable_prefix_caching=False, async_scheduling=True, **room)  # fmt: skip
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def run(llm: Any, prompts: list[list[int]], generated: int, streams: list[str]) -> dict[str, float]:
    """seconds: until the engine has answered. last: until the last row is in a file. bytes: of all files."""
    from vllm import SamplingParams

    arguments: list[dict[str, Any] | None] = [None] * len(prompts)
    if streams:
        from moescope_vllm.collector import Collector, RowsReady
        from moescope_vllm.plan import parse_plan
        from moescope_vllm.requests import write_plan
        from moescope_vllm.run import settle
        from moescope_vllm.settings import settings

        layers = llm.collective_rpc("moescope_info")[0]["layers"]
        plan = parse_plan({"streams": [{"name": stream, "layers": layers[stream]} for stream in streams]}, len(prompts))
        key = uuid.uuid4().hex
        folder = write_plan(settings().spool, key, plan)
        arguments = [{"moescope": key, "moescope_sample": sample} for sample in range(len(prompts))]
    params = [SamplingParams(max_tokens=generated, temperature=0, ignore_eos=True, detokenize=False, extra_args=extra) for extra in arguments]
    started = time.perf_counter()
    llm.generate([{"prompt_token_ids": prompt} for prompt in prompts], params, use_tqdm=False)
    seconds = last = time.perf_counter() - started
    size = rows = 0
    if streams:
        settle(llm.llm_engine)
        collector = Collector(folder, plan)
        while not collector.complete:
            for item in collector.poll():
                if isinstance(item, RowsReady):
                    size, rows = size + item.bytes, rows + item.rows
            time.sleep(0.001)
        last = time.perf_counter() - started
        shutil.rmtree(folder)
        expected = sum(len(prompt) + generated - 1 for prompt in prompts)
        assert rows == expected, f"{rows} of {expected} rows"
    return {"seconds": round(seconds, 5), "last": round(last, 5), "bytes": size}


if __name__ == "__main__":
    main()
