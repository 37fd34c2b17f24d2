"""Hidden states: what one decoder layer hands to the next.

A layer returns the residual stream whole, or its last part and the rest, which the next layer's first norm adds up, or the stream
beside a tensor nobody reads. Neither names nor shapes tell which. :mod:`self_check` finds out by running the model; here is what it
can find."""

from __future__ import annotations

import functools
from typing import Any

import torch

from .taps import Place, tap

#: The stream is ... : the tensor returned; the sum of the first two returned; the first; the second.
WHOLE, SUM, FIRST, SECOND = "whole", "sum", "first", "second"


def decoder_layers(model: torch.nn.Module, count: int) -> list[tuple[int, torch.nn.Module]]:
    """The text model's decoder layers of this process, with their numbers in the whole model. count: in the whole model. Raises
    LookupError."""
    from .moe_layers import in_tower

    for name, module in model.named_modules():
        if isinstance(module, torch.nn.ModuleList) and len(module) == count and not in_tower(name):
            layers = [(number, layer) for number, layer in enumerate(module) if type(layer).__name__ != "PPMissingLayer"]
            if layers and all(hasattr(layer, "forward") for _, layer in layers):
                return layers
    raise LookupError(f"{type(model).__name__} has no list of {count} decoder layers")


def stream_of(contract: str, out: Any) -> tuple[torch.Tensor, torch.Tensor | None]:
    """The stream in what a layer returned, as a tensor or as two that are to be added, [tokens, width] each. transformers' modules have
    a batch of one around it."""
    if contract == WHOLE:
        return flat(out), None
    if contract == SUM:
        return flat(out[0]), flat(out[1])
    return flat(out[0 if contract == FIRST else 1]), None


def flat(x: torch.Tensor) -> torch.Tensor:
    return x[0] if x.dim() == 3 else x


def wrap_forward(cls: Any) -> None:
    """Gives a class of decoder layers its tap, once, also when it inherits its forward from one that has been given it. Classes are
    wrapped, not instances: torch.compile looks methods up there."""
    original = cls.forward
    if hasattr(original, "moescope_wrapped"):
        return

    @functools.wraps(original)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        out = original(self, *args, **kwargs)
        # A layer that overrides another class's forward and calls it speaks once, from the outside.
        if self._moescope_hidden is not None and self._moescope_owner is cls:
            deliver(self, out)
        return out

    forward.moescope_wrapped = True
    cls.forward, cls._moescope_hidden, cls._moescope_owner = forward, None, cls


def deliver(layer: Any, out: Any) -> None:
    """Whatever is not as it was when the contract was proven stays silent, and a tap that was silent ends its captures."""
    place, anchor, contract = layer._moescope_hidden, layer._moescope_anchor, layer._moescope_contract
    if isinstance(out, torch.Tensor):
        if contract == WHOLE:
            tap(place, anchor, flat(out))
    elif isinstance(out, (tuple, list)) and contract != WHOLE:
        x = out[1] if contract == SECOND else out[0]
        if contract != SUM:
            tap(place, anchor, x)
        elif len(out) > 1 and isinstance(out[1], torch.Tensor):
            tap(place, anchor, x, out[1])


def install(layer: Any, place: Place, contract: str) -> None:
    """The layer speaks from now on."""
    wrap_forward(type(layer))
    layer._moescope_hidden, layer._moescope_contract = place, contract
    layer.register_buffer("_moescope_anchor", place.anchor, persistent=False)


def silence(layer: Any) -> None:
    layer._moescope_hidden = None
