"""Runs captures inside this process and compares them with Hugging Face transformers. Imported by the checks beside it."""

from __future__ import annotations

import dataclasses
import json
import multiprocessing
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
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
from safetensors.torch import load_file  # noqa: E402

ROUTED = ("router_logits", "expert_ids", "expert_weights")
TOLERANCE = {"router_logits": 1e-4, "expert_weights": 1e-4, "hidden_states": 1e-4}

#: Rows of one sample: "position", "token_id", "phase" [rows], and "<stream>.<layer>" [rows, width].
Sample = dict[str, torch.Tensor]


def load(checkpoint: str | Path, **arguments: Any) -> Any:
    """An offline engine in float32, as small as a tiny model needs it."""
    from vllm import LLM

    small = {"dtype": "float32", "max_model_len": 256, "max_num_batched_tokens": 64, "max_num_seqs": 8, "enforce_eager": True}
    started = time.monotonic()
    llm = LLM(model=str(checkpoint), **{**small, **arguments})
    print(f"# {Path(checkpoint).name}: loaded in {time.monotonic() - started:.0f} s", flush=True)
    return llm


@dataclass
class Captured:
    samples: list[Sample]
    outputs: list[list[int]]


def capture(
    llm: Any,
    prompts: list[Any],
    max_tokens: int,
    streams: dict[str, list[int]] | None = None,
    select: dict[str, Any] | None = None,
    stages: int = 1,
    **sampling: Any,
) -> Captured:
    """prompts: token ids, or prompts as vLLM takes them. streams: default all the model has."""
    from vllm import SamplingParams

    from moescope_vllm.collector import Collector, RowsReady
    from moescope_vllm.model_info import stage_infos, streams_of
    from moescope_vllm.plan import parse_plan
    from moescope_vllm.requests import write_plan
    from moescope_vllm.run import settle

    if streams is None:
        every = streams_of(llm.llm_engine.vllm_config, stage_infos(llm.collective_rpc("moescope_info")))
        streams = {name: stream["layers"] for name, stream in every.items()}
    raw = {"streams": [{"name": name, "layers": layers} for name, layers in streams.items()], "select": select}
    plan, key = parse_plan(raw, len(prompts)), uuid.uuid4().hex
    folder = write_plan(SPOOL, key, plan)
    params = [
        SamplingParams(**{"max_tokens": max_tokens, "temperature": 0.0, "ignore_eos": True, "detokenize": False, **sampling},
                       extra_args={"moescope": key, "moescope_sample": sample})
        for sample in range(len(prompts))
    ]  # fmt: skip
    whole = [{"prompt_token_ids": prompt} if isinstance(prompt, list) else prompt for prompt in prompts]
    outputs = llm.generate(whole, params, use_tqdm=False)
    settle(llm.llm_engine)
    collector, parts, deadline = Collector(folder, plan, stages), [], time.monotonic() + 60
    while not collector.complete:
        parts += [load_file(item.path) for item in collector.poll() if isinstance(item, RowsReady)]
        assert time.monotonic() < deadline, "the last rows did not come"
        time.sleep(0.01)
    samples = [sample_of(parts, plan, sample) for sample in range(len(prompts))]
    return Captured(samples, [list(output.outputs[0].token_ids) for output in outputs])


def sample_of(parts: list[dict[str, Any]], plan: Any, sample: int) -> Sample:
    masks = [(part, part["sample"] == sample) for part in parts]
    found = {name: torch.cat([part[name][mask] for part, mask in masks]) for name in ("position", "token_id", "phase")}
    for stream, layers in plan.streams.items():
        for index, layer in enumerate(layers):
            found[f"{stream}.{layer}"] = torch.cat([part[stream][index][mask] for part, mask in masks])
    return found


@dataclass
class Reference:
    """A fixture family as a Hugging Face model, and the folder it was saved in."""

    checkpoint: Path
    values: Callable[..., dict[str, torch.Tensor]]


def reference(name: str) -> Reference:
    """Builds the family's model from its seed and saves it. `values` runs it on tokens (fixtures/reference.py)."""
    import byte_bpe
    import configurations
    import make_fixtures
    import reference as run_reference
    import transformers
    import weights
    from families import FAMILIES

    transformers.logging.set_verbosity_error()
    family = next(family for family in FAMILIES if family.name == name)
    if name == "deepseek_v2":
        # vLLM's CPU kernel for latent attention is compiled for a cache of 512 + 64 only, and its router wants groups to be spelt out,
        # as the published models do.
        published = {"kv_lora_rank": 512, "qk_rope_head_dim": 64, "n_group": 1, "topk_group": 1, "routed_scaling_factor": 2.0}
        family = dataclasses.replace(family, config=lambda: configurations.deepseek_v2(**published))
    entries = json.loads((REPOSITORY / "fixtures/families.json").read_text())
    model = weights.build(family, next(entry["seed"] for entry in entries if entry["name"] == name))
    if name == "ernie4_5_moe":
        # vLLM 0.32's CPU router leaves out the selection bias of models without expert groups (on GPUs it is applied).
        for parameter in [*model.parameters(), *model.buffers()]:
            if parameter.shape[-1:] == (family.experts,) and parameter.numel() == family.experts:
                parameter.data.zero_()
    checkpoint = Path(FOLDER.name) / name
    make_fixtures.save_checkpoint(family, model, byte_bpe.train(), checkpoint)
    if name == "dbrx":
        rename_dbrx_experts(checkpoint / "model.safetensors")
    if name == "qwen3_vl_moe":
        add_image_processor(checkpoint)
        # vLLM 0.32 reads it; transformers leaves it out, because it has one value only for this architecture.
        config = json.loads((checkpoint / "config.json").read_text())
        config["text_config"]["norm_topk_prob"] = True
        (checkpoint / "config.json").write_text(json.dumps(config))

    def values(tokens: list[int], **inputs: torch.Tensor) -> dict[str, torch.Tensor]:
        """inputs: further ones of the model, an image for instance."""
        return run_reference.run(family, WithInputs(model, inputs), tokens).tensors

    return Reference(checkpoint, values)


class WithInputs:
    """A model that is always called with certain inputs, as far as fixtures/reference.py uses one."""

    def __init__(self, model: torch.nn.Module, inputs: dict[str, torch.Tensor]) -> None:
        self._model, self._inputs = model, inputs
        self.modules = model.modules

    def __call__(self, input_ids: torch.Tensor) -> Any:
        return self._model(input_ids=input_ids, **self._inputs)


def rename_dbrx_experts(path: Path) -> None:
    """vLLM 0.32 moved DBRX's experts one module down and did not tell its weight loader."""
    from safetensors.torch import save_file

    tensors = {name.replace("ffn.experts.mlp.", "ffn.experts.routed_experts.mlp."): tensor for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


#: Names Qwen's processor looks for, on the ids that the fixture's configuration gives them.
IMAGE_TOKENS = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")


def add_image_processor(checkpoint: Path) -> None:
    """What a vision model's folder has beside its weights."""
    tokenizer = json.loads((checkpoint / "tokenizer.json").read_text())
    vocabulary = tokenizer["model"]["vocab"]
    last = sorted(vocabulary, key=vocabulary.get)[-len(IMAGE_TOKENS) :]
    tokenizer["model"]["merges"] = [merge for merge in tokenizer["model"]["merges"] if "".join(merge) not in last]
    for old, new in zip(last, IMAGE_TOKENS, strict=True):
        number = vocabulary.pop(old)
        vocabulary[new] = number
        flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
        tokenizer["added_tokens"].append({"id": number, "content": new, "special": True, **flags})
    (checkpoint / "tokenizer.json").write_text(json.dumps(tokenizer))
    pixels = {"size": {"shortest_edge": 32 * 32, "longest_edge": 64 * 64}, "patch_size": 16, "temporal_patch_size": 2, "merge_size": 2}
    half = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3}
    for file, kind in (("preprocessor_config", "image_processor_type"), ("video_preprocessor_config", "video_processor_type")):
        processor = {kind: "Qwen2VLImageProcessor" if kind.startswith("image") else "Qwen3VLVideoProcessor"}
        (checkpoint / f"{file}.json").write_text(json.dumps({**processor, "processor_class": "Qwen3VLProcessor", **pixels, **half}))


def check_sample(got: Sample, expected: dict[str, torch.Tensor], tokens: list[int], prompt: int, what: str) -> dict[str, float]:
    """Every row there, once, in order, labelled, and equal to transformers. Returns the largest differences."""
    rows = len(tokens)
    assert got["position"].tolist() == list(range(rows)), f"{what}: positions {got['position'].tolist()}"
    assert got["token_id"].tolist() == tokens, f"{what}: token ids {got['token_id'].tolist()} for {tokens}"
    assert got["phase"].tolist() == [0] * prompt + [1] * (rows - prompt), f"{what}: phases"
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
        difference = (ours.float() - theirs.float()).abs().max().item()
        differences[stream] = max(differences.get(stream, 0.0), difference)
    return differences


def judge(what: str, differences: dict[str, float]) -> None:
    print(f"{what}: " + ", ".join(f"{stream} {value:.1e}" for stream, value in sorted(differences.items())), flush=True)
    for stream, value in differences.items():
        assert value < TOLERANCE[stream], f"{what}: {stream} differs by {value}"


def worst(all_differences: list[dict[str, float]]) -> dict[str, float]:
    return {stream: max(d[stream] for d in all_differences) for stream in all_differences[0]}
