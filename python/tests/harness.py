"""Runs captures inside this process and compares them with Hugging Face transformers. Imported by the checks beside it."""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(REPOSITORY / "python"), str(REPOSITORY / "fixtures")]
# Processes that vLLM starts find the plugin the way users' do.
os.environ["PYTHONPATH"] = os.pathsep.join([str(REPOSITORY / "python"), os.environ.get("PYTHONPATH", "")])
os.environ |= {"HF_HUB_OFFLINE": "1", "VLLM_ENABLE_V1_MULTIPROCESSING": "0", "VLLM_CPU_KVCACHE_SPACE": "1"}
os.environ.setdefault("VLLM_CPU_OMP_THREADS_BIND", "nobind")  # two ranks on one NUMA node
os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
if multiprocessing.current_process().name == "MainProcess":
    FOLDER = tempfile.TemporaryDirectory(prefix="moescope-check-")
    os.environ["MOESCOPE_SPOOL"] = str(Path(FOLDER.name) / "spool")
# else: a process that vLLM spawned, which imports the check again and has to look where the first one writes.
SPOOL = Path(os.environ["MOESCOPE_SPOOL"])
SPOOL.mkdir(exist_ok=True)

import torch  # noqa: E402

if os.environ.get("VLLM_USE_V2_MODEL_RUNNER") == "1" and not torch.cuda.is_available():
    import second_runner

    second_runner.install()
from safetensors.torch import load_file  # noqa: E402

TOLERANCE = {"router_logits": 1e-4, "expert_weights": 1e-4, "hidden_states": 1e-4}

#: Rows of one sample: "position", "token_id", "phase" [rows], and "<stream>.<layer>" [rows, width].
Sample = dict[str, torch.Tensor]


#: An engine in float32, as small as a tiny model needs it. MOESCOPE_CHECK_ARGUMENTS adds to it, as JSON.
SMALL: dict[str, Any] = {"dtype": "float32", "max_model_len": 256, "max_num_batched_tokens": 64, "max_num_seqs": 8}
SMALL["enforce_eager"] = True
if torch.cuda.is_available():
    # Several checks share a GPU. Products of float32 are float32: Triton's own choice is TF32.
    SMALL |= {"kv_cache_memory_bytes": 64 << 20, "gpu_memory_utilization": 0.5}
    os.environ.setdefault("TRITON_F32_DEFAULT", "ieee")
    os.environ["VLLM_WORKER_MULTIPROC_METHOD"] = "spawn"  # asking for a GPU has initialised CUDA
SMALL |= json.loads(os.environ.get("MOESCOPE_CHECK_ARGUMENTS", "{}"))

#: What makes an engine compile the model, and on a GPU replay graphs in steps of prompts and of single tokens.
COMPILED = {"enforce_eager": False, "compilation_config": {"cudagraph_capture_sizes": [1, 2, 4, 8, 16, 32, 64]}}


def load(checkpoint: str | Path, **arguments: Any) -> Any:
    """An offline engine."""
    from vllm import LLM

    started = time.monotonic()
    llm = LLM(model=str(checkpoint), **{**SMALL, **arguments})
    print(f"# {Path(checkpoint).name}: loaded in {time.monotonic() - started:.0f} s", flush=True)
    return llm


def flags(arguments: dict[str, Any]) -> list[str]:
    """Engine arguments as `vllm serve` takes them."""
    found = []
    for name, value in arguments.items():
        flag = "--" + name.replace("_", "-")
        found += [flag] if value is True else [flag, value if isinstance(value, str) else json.dumps(value)]
    return found


@dataclass
class Captured:
    """outputs: the tokens drawn. vectors: of a pooling model."""

    samples: list[Sample]
    outputs: list[list[int]]
    vectors: list[torch.Tensor] = field(default_factory=list)


class Announced:
    """A capture whose key requests may name. streams: default all the model has."""

    def __init__(self, llm: Any, samples: int, streams: dict[str, list[int]] | None = None, select: dict[str, Any] | None = None) -> None:
        from moescope_vllm.model_info import stage_infos, streams_of
        from moescope_vllm.plan import parse_plan
        from moescope_vllm.requests import write_plan

        if streams is None:
            every = streams_of(llm.llm_engine.vllm_config, stage_infos(llm.collective_rpc("moescope_info")))
            streams = {name: stream["layers"] for name, stream in every.items()}
        raw = {"streams": [{"name": name, "layers": layers} for name, layers in streams.items()], "select": select}
        self.plan, self.key = parse_plan(raw, samples), uuid.uuid4().hex
        self.folder = write_plan(SPOOL, self.key, self.plan)
        self.ends: dict[int, Any] = {}
        self._engine = llm.llm_engine

    def arguments(self, sample: int) -> dict[str, Any]:
        return {"moescope": self.key, "moescope_sample": sample}

    def collect(self, stages: int = 1) -> list[Sample]:
        """The rows of every sample, when all have ended; `ends` tells how."""
        from moescope_vllm.collector import Collector, RowsReady
        from moescope_vllm.run import settle

        settle(self._engine)
        collector, parts, deadline = Collector(self.folder, self.plan, stages), [], time.monotonic() + 60
        while not collector.complete:
            for item in collector.poll():
                if isinstance(item, RowsReady):
                    parts.append(load_file(item.path))
                else:
                    self.ends[item.sample] = item
            assert time.monotonic() < deadline, f"the last rows did not come; ended are {sorted(self.ends)} of {self.plan.samples} samples"
            time.sleep(0.01)
        return [sample_of(parts, self.plan, sample) for sample in range(self.plan.samples)]


def capture(
    llm: Any,
    prompts: list[Any],
    max_tokens: int,
    streams: dict[str, list[int]] | None = None,
    select: dict[str, Any] | None = None,
    stages: int = 1,
    only: list[int] | None = None,
    **sampling: Any,
) -> Captured:
    """prompts: token ids, or prompts as vLLM takes them. only: the prompts that are captured, the others run beside them; default
    all."""
    from vllm import SamplingParams

    captured = list(range(len(prompts))) if only is None else only
    announced = Announced(llm, len(captured), streams, select)
    params = [
        SamplingParams(**{"max_tokens": max_tokens, "temperature": 0.0, "ignore_eos": True, "detokenize": False, **sampling},
                       extra_args=announced.arguments(captured.index(number)) if number in captured else None)
        for number in range(len(prompts))
    ]  # fmt: skip
    outputs = llm.generate(as_prompts(prompts), params, use_tqdm=False)
    return Captured(announced.collect(stages), [list(output.outputs[0].token_ids) for output in outputs])


def capture_pooled(llm: Any, prompts: list[Any], select: dict[str, Any] | None = None, **pooling: Any) -> Captured:
    """Of a pooling model. pooling: further parameters of each request."""
    from vllm import PoolingParams

    announced = Announced(llm, len(prompts), select=select)
    params = [PoolingParams(extra_kwargs=announced.arguments(sample), **pooling) for sample in range(len(prompts))]
    outputs = llm.encode(as_prompts(prompts), params, pooling_task="embed", use_tqdm=False)
    return Captured(announced.collect(), [[] for _ in prompts], [output.outputs.data.float() for output in outputs])


def as_prompts(prompts: list[Any]) -> list[Any]:
    return [{"prompt_token_ids": prompt} if isinstance(prompt, list) else prompt for prompt in prompts]


def sample_of(parts: list[dict[str, Any]], plan: Any, sample: int) -> Sample:
    """Of the rows files of a capture; none where its plan selects no row."""
    masks = [(part, part["rows.sample"] == sample) for part in parts]
    if not masks:
        return {name: torch.empty(0, dtype=torch.int32) for name in ("position", "token_id", "phase")}
    found = {name: torch.cat([part[f"rows.{name}"][mask] for part, mask in masks]) for name in ("position", "token_id", "phase")}
    for stream, layers in plan.streams.items():
        for layer in layers:
            found[f"{stream}.{layer}"] = torch.cat([part[f"{stream}.{layer}"][mask] for part, mask in masks])
    return found


@dataclass
class Reference:
    """A fixture family as a Hugging Face model, and the folder it was saved in."""

    checkpoint: Path
    values: Callable[..., dict[str, torch.Tensor]]


@functools.cache
def reference(name: str) -> Reference:
    """Builds the family's model from its seed and saves it, once a process: vLLM changes classes of transformers when it runs them
    itself. `values` runs it on tokens (`hf_values.py`)."""
    import checkpoints
    import hf_values

    checkpoint = Path(FOLDER.name) / name
    family, model = checkpoints.build(name, checkpoint)
    return Reference(checkpoint, functools.partial(hf_values.run, family, model))


def check_labels(got: Sample, tokens: list[int], prompt: int, what: str) -> None:
    """Every row there, once, in order, labelled."""
    rows = len(tokens)
    assert got["position"].tolist() == list(range(rows)), f"{what}: positions {got['position'].tolist()}"
    assert got["token_id"].tolist() == tokens, f"{what}: token ids {got['token_id'].tolist()} for {tokens}"
    assert got["phase"].tolist() == [0] * prompt + [1] * (rows - prompt), f"{what}: phases"


def check_sample(got: Sample, expected: dict[str, torch.Tensor], tokens: list[int], prompt: int, what: str) -> dict[str, float]:
    """Labels, and every row equal to transformers. Returns the largest differences."""
    check_labels(got, tokens, prompt, what)
    differences: dict[str, float] = {}
    for name in got:
        stream, _, layer = name.partition(".")
        if not layer:
            continue
        ours, theirs = got[name], expected[name]
        if stream == "expert_ids":
            same = (ours.long().sort(-1).values == theirs.long().sort(-1).values).all(-1)
            assert same.all(), f"{what}: {name} differs in rows {(~same).nonzero().flatten().tolist()}"
            continue
        if stream == "expert_weights":  # by expert: engines order them differently
            ours = ours.gather(1, got[f"expert_ids.{layer}"].long().argsort(-1))
            theirs = theirs.gather(1, expected[f"expert_ids.{layer}"].long().argsort(-1))
        ours, theirs = ours.float(), theirs.float()
        # Equal infinities are equal; what is no number is as far away as can be.
        difference = torch.where(ours == theirs, 0.0, ours - theirs).abs().nan_to_num(nan=torch.inf).max().item()
        differences[stream] = max(differences.get(stream, 0.0), difference)
    return differences


def judge(what: str, differences: dict[str, float], tolerance: float | None = None) -> None:
    """tolerance: in place of :data:`TOLERANCE`."""
    print(f"{what}: " + ", ".join(f"{stream} {value:.1e}" for stream, value in sorted(differences.items())), flush=True)
    for stream, value in differences.items():
        assert value < (tolerance or TOLERANCE[stream]), f"{what}: {stream} differs by {value}"


def worst(all_differences: list[dict[str, float]]) -> dict[str, float]:
    return {stream: max(d[stream] for d in all_differences) for stream in all_differences[0]}
