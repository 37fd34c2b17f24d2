"""Families that vLLM runs and llama.cpp's fixtures do not have, built in the same way. Imported by `checkpoints.py`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import routers
import transformers
from family import EXPERTS, TOP_K, WIDE, Family
from rules import SIGMOID_ROUTER_STD, SOFTMAX, SOFTMAX_NORMALIZED, sigmoid_scaled
from safetensors.torch import load_file, save_file
from topics.base import ROPE, decoder, latent_attention, one_head, qwen_experts, without

#: vLLM's CPU kernel for latent attention is compiled for this size of its cache only.
PUBLISHED_LATENT = {"kv_lora_rank": 512, "qk_rope_head_dim": 64}

ZERO_EXPERTS = 4


def longcat_flash(sizes: Any) -> Any:
    latent = {**latent_attention(sizes), **PUBLISHED_LATENT, "num_key_value_heads": sizes.heads, "head_dim": 64}
    options = without(decoder(sizes), "num_hidden_layers", "head_dim", "num_key_value_heads", "tie_word_embeddings")
    return transformers.LongcatFlashConfig(
        **options, **latent, num_layers=2, ffn_hidden_size=sizes.dense, expert_ffn_hidden_size=sizes.expert, moe_topk=3,
        n_routed_experts=EXPERTS, zero_expert_num=ZERO_EXPERTS, routed_scaling_factor=2.0, rope_parameters=ROPE,
    )  # fmt: skip


def flex_olmo(sizes: Any) -> Any:
    return transformers.FlexOlmoConfig(
        **one_head(sizes), intermediate_size=sizes.expert, num_experts=EXPERTS, num_experts_per_tok=TOP_K, rope_parameters=ROPE
    )


def mellum(sizes: Any) -> Any:
    rope = {"full_attention": ROPE, "sliding_attention": ROPE}
    return transformers.MellumConfig(**decoder(sizes), **qwen_experts(sizes), sliding_window=16, rope_parameters=rope)


def gemma4(sizes: Any) -> Any:
    rope = {"sliding_attention": ROPE, "full_attention": {"rope_type": "default", "rope_theta": 1000000.0}}
    return transformers.Gemma4TextConfig(
        **decoder(sizes), enable_moe_block=True, num_experts=EXPERTS, top_k_experts=TOP_K, moe_intermediate_size=sizes.expert,
        intermediate_size=sizes.dense, hidden_size_per_layer_input=0, sliding_window=16, global_head_dim=sizes.head_dim,
        layer_types=["sliding_attention", "sliding_attention", "full_attention"], rope_parameters=rope,
    )  # fmt: skip


def laguna(sizes: Any) -> Any:
    rope = {"full_attention": ROPE, "sliding_attention": ROPE}
    return transformers.LagunaConfig(
        **decoder(sizes), **qwen_experts(sizes), shared_expert_intermediate_size=sizes.expert, sliding_window=16,
        layer_types=["full_attention", "sliding_attention", "sliding_attention"], rope_parameters=rope,
        num_attention_heads_per_layer=[2, 2, 2],
    )  # fmt: skip


def dense(config_class: str, **further: Any) -> Any:
    """A model without experts, for what goes from layer to layer."""
    return lambda sizes: getattr(transformers, config_class)(**{**decoder(sizes), "intermediate_size": sizes.dense, **further})


def one_head_dense(config_class: str) -> Any:
    return lambda sizes: getattr(transformers, config_class)(**one_head(sizes), intermediate_size=sizes.dense)


WINDOWS = {"sliding_window": 16, "layer_types": ["sliding_attention", "sliding_attention", "full_attention"]}


def family(name: str, label: str, model_class: str, config: Any, gating: Any, **further: Any) -> Family:
    return Family(
        name=name, label=label, architecture=model_class, model_class=model_class, config=config, gating=gating, sizes=WIDE, **further
    )


def gemma4_router(router: Any, inputs: Any, output: Any, _family: Family) -> Any:
    """transformers hands on probabilities instead of logits."""
    _, weights, ids = output
    x = router.norm(inputs[0]) * router.scale * router.scalar_root_size
    return router.proj(x), ids, weights


routers.READERS.setdefault("Gemma4TextRouter", gemma4_router)

FAMILIES = [
    family(
        "longcat_flash", "LongCat-Flash", "LongcatFlashForCausalLM", longcat_flash, SOFTMAX, experts=EXPERTS + ZERO_EXPERTS, top_k=3
    ),
    family("flex_olmo", "FlexOlmo", "FlexOlmoForCausalLM", flex_olmo, SOFTMAX),
    family("mellum", "Mellum", "MellumForCausalLM", mellum, SOFTMAX_NORMALIZED),
    family("gemma4", "Gemma 4 MoE", "Gemma4ForCausalLM", gemma4, SOFTMAX_NORMALIZED),
    family("laguna", "Laguna", "LagunaForCausalLM", laguna, sigmoid_scaled(1.0), shared_experts=1, router_std=SIGMOID_ROUTER_STD),
    family("cohere", "Cohere (dense)", "CohereForCausalLM", one_head_dense("CohereConfig"), None),
    family("exaone4", "EXAONE 4 (dense)", "Exaone4ForCausalLM", dense("Exaone4Config", **WINDOWS), None),
    family("stablelm", "StableLM (dense)", "StableLmForCausalLM", one_head_dense("StableLmConfig"), None),
    family("gemma3", "Gemma 3 (dense)", "Gemma3ForCausalLM", dense("Gemma3TextConfig", **WINDOWS), None),
    family("glm4", "GLM 4 (dense)", "Glm4ForCausalLM", dense("Glm4Config"), None),
    family("phi", "Phi (dense, vLLM's backend for transformers)", "PhiForCausalLM", one_head_dense("PhiConfig"), None),
]


def published_longcat(folder: Path) -> None:
    """What transformers takes for granted, the published configuration says."""
    edit(folder / "config.json", mla_scale_q_lora=True, mla_scale_kv_lora=True, zero_expert_type="identity")
    # A freshly built model has weights for zero experts too, which nothing reads.
    path = folder / "model.safetensors"
    zero = tuple(f".experts.{EXPERTS + number}." for number in range(ZERO_EXPERTS))
    tensors = {name: tensor for name, tensor in load_file(path).items() if not any(part in name for part in zero)}
    save_file(tensors, path, metadata={"format": "pt"})


FINISH = {"longcat_flash": published_longcat}


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
