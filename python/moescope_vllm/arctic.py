"""Snowflake Arctic, which vLLM has up to 0.28: its MoE blocks call the kernels themselves, without vLLM's MoE layer."""

from __future__ import annotations

import functools
import sys
from typing import Any

import torch

from .streams import EXPERT_IDS, EXPERT_WEIGHTS, ROUTER_LOGITS
from .taps import Place, tap

MODULE = "vllm.model_executor.models.arctic"

#: The block whose experts are chosen next: the function that chooses them is not told.
_block: Any = None


def moe_blocks(model: torch.nn.Module) -> list[Any]:
    """Of this process, in order; none for every other model."""
    blocks = [module for module in model.modules() if (type(module).__module__, type(module).__name__) == (MODULE, "ArcticMoE")]
    return sorted((block for block in blocks if block.is_moe_layer), key=lambda block: block.layer_id)


def gating(block: Any) -> dict[str, Any]:
    """The `Gating` of src/routing/gating.ts, as the block's forward has it."""
    return {"score": "softmax", "normalize": block.top_k > 1, "scale": 1.0, "selectionBias": False, "groups": None}


def mark(block: Any, places: dict[str, Place | None]) -> None:
    """places: by stream; None stays silent."""
    wrap(type(block))
    block._moescope_places = {stream: place for stream, place in places.items() if place is not None}
    for stream, place in block._moescope_places.items():
        block.register_buffer(f"_moescope_{stream}", place.anchor, persistent=False)


def wrap(cls: Any) -> None:
    """Gives the class its taps, once. Classes and modules are wrapped, not instances: torch.compile looks methods up there."""
    module = sys.modules[cls.__module__]
    forward, choose = cls.local_moe_fused, module.fused_topk
    if hasattr(choose, "moescope_wrapped"):
        return

    @functools.wraps(forward)
    def local_moe_fused(self: Any, hidden_states: Any) -> Any:
        global _block
        _block = self
        return forward(self, hidden_states)

    @functools.wraps(choose)
    def fused_topk(hidden_states: Any, gating_output: Any, *args: Any, **kwargs: Any) -> Any:
        chosen = choose(hidden_states, gating_output, *args, **kwargs)
        values = {ROUTER_LOGITS: gating_output, EXPERT_WEIGHTS: chosen[0], EXPERT_IDS: chosen[1]}
        for stream, place in _block._moescope_places.items():
            tap(place, getattr(_block, f"_moescope_{stream}"), values[stream])
        return chosen

    fused_topk.moescope_wrapped = True
    cls.local_moe_fused, module.fused_topk = local_moe_fused, fused_topk
    cls._moescope_places = {}  # of a block that nobody marks
