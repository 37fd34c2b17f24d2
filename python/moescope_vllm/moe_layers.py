"""The MoE layers of a model, whatever vLLM builds them of."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from . import arctic, gating
from .streams import EXPERT_IDS, EXPERT_WEIGHTS, ROUTER_LOGITS
from .taps import Place

#: Towers that have layers too, but whose rows are no tokens of the text.
TOWERS = ("visual", "vision", "audio", "image_encoder", "mtp", "draft")


@dataclass(frozen=True)
class MoeLayer:
    """number: in the whole model. gating: the `Gating` of src/routing/gating.ts, None where nobody can be asked. scale: the factor
    the model applies to the experts' sum instead of to their weights. mark: puts the taps where `place` (of :func:`attach`) says."""

    number: int
    experts: int
    top_k: int
    gating: dict[str, Any] | None
    scale: float
    mark: Callable[[Callable[[str, int], Place | None]], None]


def moe_layers(model: torch.nn.Module, config: Any) -> list[MoeLayer]:
    """Those of this process, in order; none for a dense model, and for one whose MoE layers cannot be tapped."""
    if is_transformers_backend(model):
        return []
    return [of_runner(runner) for runner in moe_runners(config)] or [of_arctic(block) for block in arctic.moe_blocks(model)]


def moe_runners(config: Any) -> list[Any]:
    """As vLLM registers them."""
    from vllm.model_executor.layers.fused_moe.runner.moe_runner import MoERunner

    context = config.compilation_config.static_forward_context
    runners = [module for name, module in context.items() if isinstance(module, MoERunner) and not in_tower(name)]
    return sorted(runners, key=lambda runner: runner.layer_id)


def of_runner(runner: Any) -> MoeLayer:
    def mark(place: Callable[[str, int], Place | None]) -> None:
        runner._moescope_logits = logits = place(ROUTER_LOGITS, runner.layer_id)
        if logits is not None:
            runner.register_buffer("_moescope_anchor", logits.anchor, persistent=False)
        if not runner._quant_method.is_monolithic:  # such a kernel chooses experts inside itself: there is nothing to tap
            runner.router._moescope_ids = place(EXPERT_IDS, runner.layer_id)
            runner.router._moescope_weights = place(EXPERT_WEIGHTS, runner.layer_id)

    moe = runner.moe_config
    scale = runner.routed_scaling_factor
    return MoeLayer(runner.layer_id, moe.num_logical_experts, moe.experts_per_token, gating.of(runner), scale, mark)


def of_arctic(block: Any) -> MoeLayer:
    def mark(place: Callable[[str, int], Place | None]) -> None:
        arctic.mark(block, {stream: place(stream, block.layer_id) for stream in (ROUTER_LOGITS, EXPERT_IDS, EXPERT_WEIGHTS)})

    return MoeLayer(block.layer_id, block.num_experts, block.top_k, arctic.gating(block), 1.0, mark)


def is_transformers_backend(model: torch.nn.Module) -> bool:
    """vLLM's fallback runs Hugging Face modules and hands top-k weights to its MoE layer as if they were router logits."""
    return any("Transformers" in cls.__name__ and cls.__module__.startswith("vllm.") for cls in type(model).__mro__)


def in_tower(name: str) -> bool:
    return any(part.startswith(TOWERS) for part in name.split("."))
