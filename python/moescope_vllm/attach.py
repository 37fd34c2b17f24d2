"""Finds the places of a loaded model where values can be tapped, and marks them."""

from __future__ import annotations

import functools
import logging
from typing import Any

import torch

from .streams import EXPERT_IDS, EXPERT_WEIGHTS, HIDDEN_STATES, ROUTER_LOGITS
from .taps import Place, tap

logger = logging.getLogger("vllm.moescope")

#: Towers that have layers too, but whose rows are no tokens of the text.
TOWERS = ("visual", "vision", "audio", "image_encoder", "mtp", "draft")


def moe_runners(config: Any) -> list[Any]:
    """The model's MoE layers of this process, in order, as vLLM registers them."""
    from vllm.model_executor.layers.fused_moe.runner.moe_runner import MoERunner

    context = config.compilation_config.static_forward_context
    runners = [module for name, module in context.items() if isinstance(module, MoERunner) and not in_tower(name)]
    return sorted(runners, key=lambda runner: runner.layer_id)


def decoder_layers(model: torch.nn.Module, config: Any) -> list[tuple[int, torch.nn.Module]]:
    """The text model's decoder layers of this process, with their numbers in the whole model."""
    count = config.model_config.get_total_num_hidden_layers()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count and not in_tower(name):
            layers = [(number, layer) for number, layer in enumerate(module) if type(layer).__name__ != "PPMissingLayer"]
            if layers and all(hasattr(layer, "forward") for _, layer in layers):
                return layers
    return []


def in_tower(name: str) -> bool:
    return any(part.startswith(TOWERS) for part in name.split("."))


def attach(model: torch.nn.Module, config: Any, streams: set[str]) -> list[Place]:
    """Marks the layers whose taps are to speak: everything else stays silent."""
    device = next(model.parameters()).device
    places: list[Place] = []

    def place(stream: str, layer: int) -> Place | None:
        if stream not in streams:
            return None
        places.append(Place(stream, layer, device))
        return places[-1]

    if not is_transformers_backend(model):
        for runner in moe_runners(config):
            number = runner.layer_id
            runner._moescope_logits = logits = place(ROUTER_LOGITS, number)
            if logits is not None:
                runner.register_buffer("_moescope_anchor", logits.anchor, persistent=False)
            if not runner._quant_method.is_monolithic:  # such a kernel chooses experts inside itself: there is nothing to tap
                runner.router._moescope_ids = place(EXPERT_IDS, number)
                runner.router._moescope_weights = place(EXPERT_WEIGHTS, number)
    for number, layer in decoder_layers(model, config) if HIDDEN_STATES in streams else ():
        wrap_forward(type(layer))
        layer._moescope_hidden = hidden = place(HIDDEN_STATES, number)
        layer.register_buffer("_moescope_anchor", hidden.anchor, persistent=False)
    return places


def is_transformers_backend(model: torch.nn.Module) -> bool:
    """vLLM's fallback runs Hugging Face modules and hands top-k weights to its MoE layer as if they were router logits."""
    return any("Transformers" in cls.__name__ and cls.__module__.startswith("vllm.") for cls in type(model).__mro__)


def wrap_forward(cls: Any) -> None:
    """Gives a class of decoder layers its tap, once, also when it inherits its forward from one that has been given it. Classes are
    wrapped, not instances: torch.compile looks methods up there."""
    original = cls.forward
    if hasattr(original, "moescope_wrapped"):
        return

    @functools.wraps(original)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        """vLLM's layers return the residual stream whole, or as (output, residual)."""
        out = original(self, *args, **kwargs)
        if self._moescope_hidden is not None:
            if isinstance(out, torch.Tensor):
                tap(self._moescope_hidden, self._moescope_anchor, out)
            elif len(out) <= 2:
                tap(self._moescope_hidden, self._moescope_anchor, *out)
        return out

    forward.moescope_wrapped = True
    cls.forward, cls._moescope_hidden = forward, None
