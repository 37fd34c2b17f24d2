"""Embedding models as checkpoints that vLLM reads, beside the models they were saved from. Imported by `check_pooling.py`."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import harness
import torch

sys.path.insert(0, str(harness.REPOSITORY / "fixtures" / "embeddings"))

import make_embeddings  # noqa: E402
import nomic_moe  # noqa: E402
from checkpoints import edit  # noqa: E402
from embedding_families import EMBEDDING_FAMILIES, TOKENIZERS  # noqa: E402

# vLLM's CPU attention wants heads of 32 at least.
nomic_moe.HEADS = 1


class BiasedExperts(nomic_moe.Experts):
    """With what the published code adds to the experts' sum; the fixtures are without, because llama.cpp's converter leaves it out."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = torch.nn.Parameter(torch.zeros(nomic_moe.HIDDEN))  # to which `randomize` adds


class BiasedMoe(nomic_moe.Moe):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x) + self.experts.bias


nomic_moe.Experts, nomic_moe.Moe = BiasedExperts, BiasedMoe


@dataclass
class Embedder:
    """values: of a prompt, by stream and layer as the harness names them, and the pooled vector before it is scaled."""

    checkpoint: Path
    family: Any
    model: Any
    pooling: str
    causal: bool
    moe_layers: tuple[int, ...]
    vocabulary: int
    arguments: dict[str, Any] = field(default_factory=dict)

    def values(self, tokens: list[int]) -> tuple[dict[str, torch.Tensor], torch.Tensor]:
        every = make_embeddings.reference(self.family, self.model, tokens)
        layers = range(sum(1 for name in every if name.startswith("hidden_states.")))
        names = [f"hidden_states.{layer}" for layer in layers]
        names += [f"{stream}.{layer}" for layer in self.moe_layers for stream in ("router_logits", "expert_ids", "expert_weights")]
        return {name: every[name] for name in names}, every[f"pooled.{self.pooling}"]

    def prompts(self, lengths: Iterable[int]) -> list[list[int]]:
        return [[3 + (7 * i + 13 * n) % (self.vocabulary - 5) for i in range(length)] for n, length in enumerate(lengths)]


#: What of a family's configuration is another here.
SIZES = {"bert": {"num_attention_heads": 1}, "qwen3_embedding": {"head_dim": 32}}


def build(name: str) -> Embedder:
    family = next(family for family in EMBEDDING_FAMILIES if family.name == name)
    if name in SIZES:
        family = dataclasses.replace(family, build=lambda original=family.build: resized(original(), **SIZES[name]))
    model = make_embeddings.build(family, seed=1)
    checkpoint = Path(harness.FOLDER.name) / name
    make_embeddings.save_checkpoint(family, model, TOKENIZERS[family.tokenizer](), checkpoint)
    configuration = json.loads((checkpoint / "config.json").read_text())
    pooling = {"lasttoken": "last"}.get(family.pooling or "last", family.pooling or "last")
    # Where every token sees all, a prompt is computed in one step, and a step must have room for the longest.
    arguments = {} if family.causal else {"max_model_len": harness.SMALL["max_num_batched_tokens"]}
    return Embedder(checkpoint, family, model, pooling, family.causal, family.moe_layers, configuration["vocab_size"], arguments)


def resized(model: Any, **sizes: int) -> Any:
    """A new model of the same class."""
    for size, value in sizes.items():
        setattr(model.config, size, value)
    return type(model)._from_config(model.config, attn_implementation="eager")


NAMES = ("nomic_bert_moe", "bert", "qwen3_embedding")
