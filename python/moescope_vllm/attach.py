"""Finds the places of a loaded model where values can be tapped, and marks them."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

import torch

from .moe_layers import MoeLayer, in_tower
from .streams import HIDDEN_STATES
from .taps import Place, tap


def decoder_layers(model: torch.nn.Module, config: Any) -> list[tuple[int, torch.nn.Module]]:
    """The text model's decoder layers of this process, with their numbers in the whole model."""
    count = config.model_config.get_total_num_hidden_layers()
    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count and not in_tower(name):
            layers = [(number, layer) for number, layer in enumerate(module) if type(layer).__name__ != "PPMissingLayer"]
            if layers and all(hasattr(layer, "forward") for _, layer in layers):
                return layers
    return []


def attach(model: torch.nn.Module, config: Any, moe: Iterable[MoeLayer], streams: set[str]) -> list[Place]:
    """Marks the layers whose taps are to speak: everything else stays silent. moe: the model's MoE layers."""
    device = next(model.parameters()).device
    places: list[Place] = []

    def place(stream: str, layer: int) -> Place | None:
        if stream not in streams:
            return None
        places.append(Place(stream, layer, device))
        return places[-1]

    for layer in moe:
        layer.mark(place)
    for number, layer in decoder_layers(model, config) if HIDDEN_STATES in streams else ():
        wrap_forward(type(layer))
        layer._moescope_hidden = hidden = place(HIDDEN_STATES, number)
        layer.register_buffer("_moescope_anchor", hidden.anchor, persistent=False)
    return places


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
