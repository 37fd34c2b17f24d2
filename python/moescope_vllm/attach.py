"""Finds the places of a loaded model where values can be tapped, and marks them."""

from __future__ import annotations

import functools
import logging
from typing import Any

import torch

from .streams import EXPERT_IDS, EXPERT_WEIGHTS, HIDDEN_STATES, ROUTER_LOGITS
from .taps import tap, tap_sum

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


def attach(model: torch.nn.Module, config: Any, streams: set[str]) -> dict[str, list[int]]:
    """Marks the layers whose taps are to speak: everything else stays silent. Returns stream -> layers of this process."""
    device = next(model.parameters()).device
    # One for all taps: a graph that writes to it once for each layer keeps their order.
    anchor = torch.zeros(1, dtype=torch.uint8, device=device)
    layers: dict[str, list[int]] = {}
    if streams & {ROUTER_LOGITS, EXPERT_IDS, EXPERT_WEIGHTS} and not is_transformers_backend(model):
        for runner in moe_runners(config):
            mark_runner(runner, anchor, streams, layers)
    if HIDDEN_STATES in streams:
        for number, layer in decoder_layers(model, config):
            mark_layer(layer, number, anchor)
            layers.setdefault(HIDDEN_STATES, []).append(number)
    return layers


def is_transformers_backend(model: torch.nn.Module) -> bool:
    """vLLM's fallback runs Hugging Face modules and hands top-k weights to its MoE layer as if they were router logits."""
    return any("Transformers" in cls.__name__ and cls.__module__.startswith("vllm.") for cls in type(model).__mro__)


def mark_runner(runner: Any, anchor: torch.Tensor, streams: set[str], layers: dict[str, list[int]]) -> None:
    number = runner.layer_id
    runner.register_buffer("_moescope_anchor", anchor, persistent=False)
    if ROUTER_LOGITS in streams:
        runner._moescope_layer = number
        layers.setdefault(ROUTER_LOGITS, []).append(number)
    if not runner._quant_method.is_monolithic and streams & {EXPERT_IDS, EXPERT_WEIGHTS}:
        # A monolithic kernel chooses experts inside itself: there is nothing to tap.
        runner.router._moescope_anchor = anchor
        runner.router._moescope_layer = number
        for stream in (EXPERT_IDS, EXPERT_WEIGHTS):
            if stream in streams:
                layers.setdefault(stream, []).append(number)


def mark_layer(layer: torch.nn.Module, number: int, anchor: torch.Tensor) -> None:
    """Classes are wrapped, not instances: torch.compile looks methods up there."""
    cls = type(layer)
    if "_moescope_forward" not in cls.__dict__:
        cls._moescope_forward = cls.forward
        cls._moescope_layer = -1
        cls.forward = functools.wraps(cls.forward)(layer_forward)
    layer._moescope_layer = number
    layer.register_buffer("_moescope_anchor", anchor, persistent=False)


def layer_forward(self: Any, *args: Any, **kwargs: Any) -> Any:
    """A decoder layer's forward with its tap. vLLM's layers return the residual stream whole, or as (output, residual)."""
    out = self._moescope_forward(*args, **kwargs)
    if self._moescope_layer >= 0:
        if isinstance(out, torch.Tensor):
            tap(HIDDEN_STATES, self._moescope_layer, out, self._moescope_anchor)
        elif len(out) == 2 and out[1] is not None:
            tap_sum(self._moescope_layer, out[0], out[1], self._moescope_anchor)
        elif len(out) <= 2:
            tap(HIDDEN_STATES, self._moescope_layer, out[0], self._moescope_anchor)
    return out
