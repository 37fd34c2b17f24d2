"""Fixture families as checkpoints that vLLM reads, beside the Hugging Face models they were saved from. Imported by `harness.py`."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import byte_bpe
import configurations
import make_fixtures
import torch
import transformers
import vllm_families
import weights
from families import FAMILIES
from family import WIDE, Family
from safetensors.torch import load_file, save_file
from topics import latent
from vllm_families import edit

FIXTURES = Path(make_fixtures.__file__).parent


#: Configurations with what vLLM's CPU kernels and routers want as the published models have it: a latent cache of 512 + 64, and groups
#: spelt out.
LATENT = {"kv_lora_rank": 512, "qk_rope_head_dim": 64}
PUBLISHED = {
    "deepseek_v2": lambda: configurations.deepseek_v2(**LATENT, n_group=1, topk_group=1, routed_scaling_factor=2.0),
    "deepseek_v3": lambda: published(configurations.deepseek_v3()),
    "glm4_moe_lite": lambda sizes: published(latent.glm4_moe_lite(sizes)),
}


def published(config: Any) -> Any:
    return type(config)(**{**config.to_dict(), **LATENT, "head_dim": LATENT["qk_rope_head_dim"]})


#: vLLM 0.32's CPU router leaves out the selection bias of models without expert groups (on GPUs it is applied): Ernie's by its rule,
#: Laguna's because the bias that is loaded is not the one the router has.
WITHOUT_BIAS = ("ernie4_5_moe", "laguna")


def family_of(name: str) -> Family:
    """vLLM's own first: of Mellum and Laguna llama.cpp's fixtures have what vLLM 0.32 computes otherwise than transformers."""
    return next(family for family in (*vllm_families.FAMILIES, *FAMILIES) if family.name == name)


def build(name: str, checkpoint: Path) -> tuple[Family, torch.nn.Module]:
    """The family and its model, made from its seed and saved."""
    transformers.logging.set_verbosity_error()
    family = family_of(name)
    if name in PUBLISHED:
        family = dataclasses.replace(family, config=PUBLISHED[name])
    if family.sizes is not None:
        family = dataclasses.replace(family, sizes=WIDE)
    entries = json.loads((FIXTURES / "families.json").read_text())
    model = weights.build(family, next((entry["seed"] for entry in entries if entry["name"] == name), 0))
    if name in WITHOUT_BIAS and not torch.cuda.is_available():
        for parameter in [*model.parameters(), *model.buffers()]:
            if parameter.shape[-1:] == (family.experts,) and parameter.numel() == family.experts:
                parameter.data.zero_()
    make_fixtures.save_checkpoint(family, model, byte_bpe.train(), checkpoint)
    if name in FINISH:
        FINISH[name](checkpoint)
    return family, model


def add_arctic_configuration(checkpoint: Path) -> None:
    """transformers has no Arctic: its published checkpoint brings the code of its configuration, which vLLM has copied."""
    (checkpoint / "configuration_arctic.py").write_text("from vllm.transformers_utils.configs.arctic import ArcticConfig\n")
    every_layer = {"moe_layer_frequency": 1, "use_residual": True, "parallel_attn_mlp_res": True}
    edit(checkpoint / "config.json", auto_map={"AutoConfig": "configuration_arctic.ArcticConfig"}, **every_layer)


def rename_dbrx_experts(checkpoint: Path) -> None:
    """vLLM moved DBRX's experts one module down (0.25 at the latest) and did not tell its weight loader."""
    path = checkpoint / "model.safetensors"
    tensors = {name.replace("ffn.experts.mlp.", "ffn.experts.routed_experts.mlp."): tensor for name, tensor in load_file(path).items()}
    save_file(tensors, path, metadata={"format": "pt"})


def complete_qwen3_vl(checkpoint: Path) -> None:
    add_image_processor(checkpoint)
    # vLLM reads it; transformers leaves it out, because it has one value only for this architecture.
    text = json.loads((checkpoint / "config.json").read_text())["text_config"]
    edit(checkpoint / "config.json", text_config={**text, "norm_topk_prob": True})


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


#: What a family's checkpoint needs before vLLM reads it.
FINISH = {
    "arctic": add_arctic_configuration,
    "dbrx": rename_dbrx_experts,
    "qwen3_vl_moe": complete_qwen3_vl,
    # vLLM looks one token further back than the configuration says.
    "cohere2_moe": lambda folder: edit(folder / "config.json", sliding_window=7),
    "afmoe": lambda folder: edit(folder / "config.json", score_func="sigmoid", route_norm=True, n_group=1, topk_group=1),
    **vllm_families.FINISH,
}
