"""Drafters for tiny random models: what speculative decoding needs beside the model. Imported by `check_speculation.py`."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import harness  # noqa: F401  (its paths)
import torch
import transformers
from checkpoints import edit
from safetensors.torch import load_file, save_file

#: Where the target is not Qwen3-MoE.
TARGETS = {"mtp": "glm4_moe"}

#: Of the weights' own spread: so much noise makes a drafter of the model that is right half of the time.
NOISE = 0.3


def blurred(checkpoint: Path, folder: Path) -> dict[str, Any]:
    """The model itself with noise on its weights, MoE layers and all."""
    shutil.copytree(checkpoint, folder)
    path = folder / "model.safetensors"
    generator = torch.Generator().manual_seed(5)
    tensors = {
        name: tensor + NOISE * tensor.std() * torch.randn(tensor.shape, generator=generator) if tensor.dim() > 1 else tensor
        for name, tensor in load_file(path).items()
    }
    save_file(tensors, path, metadata={"format": "pt"})
    return {"method": "draft_model", "model": str(folder)}


def add_prediction_layer(checkpoint: Path, _folder: Path) -> dict[str, Any]:
    """GLM-4-MoE's multi-token prediction: one more MoE layer, in the model's own checkpoint. It draws from the token alone, with what the
    model's last layer makes of it: right now and then, as tiny random models tend to repeat themselves."""
    path, configuration = checkpoint / "model.safetensors", checkpoint / "config.json"
    layers = json.loads(configuration.read_text())["num_hidden_layers"]
    tensors = load_file(path)
    embedding = tensors["model.embed_tokens.weight"]
    hidden = embedding.shape[1]
    last, new = f"model.layers.{layers - 1}.", f"model.layers.{layers}."
    tensors |= {name.replace(last, new): tensor.clone() for name, tensor in tensors.items() if name.startswith(last)}
    tensors |= {f"{new}{name}.weight": torch.ones(hidden) for name in ("enorm", "hnorm")}
    tensors[f"{new}eh_proj.weight"] = torch.cat([torch.eye(hidden), torch.zeros(hidden, hidden)], 1)
    tensors[f"{new}shared_head.norm.weight"] = tensors["model.norm.weight"].clone()
    tensors |= {f"{new}{name}.weight": embedding.clone() for name in ("embed_tokens", "shared_head.head")}
    tensors["lm_head.weight"] = embedding.clone()  # this model of vLLM's does not tie them, and draws from what memory held
    save_file(tensors, path, metadata={"format": "pt"})
    edit(configuration, num_nextn_predict_layers=1, tie_word_embeddings=False)
    return {"method": "mtp"}


def eagle_head(checkpoint: Path, folder: Path) -> dict[str, Any]:
    """A head of EAGLE's kind: one dense layer, here one that adds nothing, so that the head draws from the token alone."""
    target = json.loads((checkpoint / "config.json").read_text())
    hidden, heads, size = target["hidden_size"], target["num_attention_heads"], target["head_dim"]
    shared = ("hidden_size", "num_attention_heads", "num_key_value_heads", "head_dim", "vocab_size", "max_position_embeddings")
    configuration = {name: target[name] for name in shared} | {"rms_norm_eps": 1e-5, "rope_parameters": {"rope_type": "default", "rope_theta": 1e4}}
    transformers.LlamaConfig(
        **configuration, num_hidden_layers=1, intermediate_size=hidden, architectures=["LlamaForCausalLM"], tie_word_embeddings=False
    ).save_pretrained(folder)
    keys = target["num_key_value_heads"] * size
    shapes = {
        "self_attn.q_proj": (heads * size, hidden),
        "self_attn.k_proj": (keys, hidden),
        "self_attn.v_proj": (keys, hidden),
        "self_attn.o_proj": (hidden, heads * size),
        "mlp.gate_proj": (hidden, hidden),
        "mlp.up_proj": (hidden, hidden),
        "mlp.down_proj": (hidden, hidden),
    }
    tensors = {f"layers.0.{name}.weight": torch.zeros(shape) for name, shape in shapes.items()}
    tensors["layers.0.post_attention_layernorm.weight"] = torch.ones(hidden)
    tensors["fc.weight"] = torch.cat([torch.eye(hidden), torch.zeros(hidden, hidden)], 1)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return {"method": "eagle", "model": str(folder)}


#: Method -> makes a drafter's folder of the model's and returns what vLLM's speculative configuration says of it.
MAKE: dict[str, Callable[[Path, Path], dict[str, Any]]] = {"draft": blurred, "mtp": add_prediction_layer, "eagle": eagle_head}
