"""Gates that lie outside of vLLM's MoE layer: modules of transformers that choose experts and hand on which ones
(`TransformersMoERunner`).

A gate is not known by its name. It is the module of the block whose output has a number for every expert, and from which a known rule
makes the very experts and weights that the layer was handed, in a step whose rows all differ."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from . import gating
from .chain import forward_replaced
from .hidden import flat
from .moe_layers import MoeLayer
from .streams import EXPERT_IDS, EXPERT_WEIGHTS, ROUTER_LOGITS
from .taps import Place, tap
from .witness import Said, Witness


@dataclass(frozen=True)
class Gate:
    """part: where in what the module returns the logits are, None: it is them. rule: from them to experts and weights."""

    module: torch.nn.Module
    part: int | None
    rule: gating.Gating


class GateSearch:
    """Watches what the modules of a layer's block return."""

    def __init__(self, model: torch.nn.Module, layer: MoeLayer, tokens: int) -> None:
        self._layer = layer
        self._tokens = tokens
        self._block = next(module for module in model.modules() if any(child is layer.runner for child in module.children()))
        self._returned: list[tuple[torch.nn.Module, int | None, torch.Tensor]] = []

    @contextlib.contextmanager
    def watching(self) -> Iterator[None]:
        inside = {id(module) for module in self._layer.runner.modules()}
        with contextlib.ExitStack() as stack:
            for module in self._block.modules():
                if id(module) not in inside and module is not self._block:
                    stack.enter_context(forward_replaced(module, self._watched(module, module.forward)))
            yield

    def found(self, witness: Witness) -> Gate | None:
        said = {stream: witness.said.get((stream, self._layer.number)) for stream in (EXPERT_IDS, EXPERT_WEIGHTS)}
        if any(value is None for value in said.values()):
            return None
        for module, part, logits in self._returned:
            values = {(stream, self._layer.number): value for stream, value in said.items()}
            values[ROUTER_LOGITS, self._layer.number] = Said(logits, logits)
            rule = gating.shown_by(self._layer, values, biases(self._block, self._layer.experts))
            if rule is not None:
                return Gate(module, part, rule)
        return None

    def _watched(self, module: torch.nn.Module, original: Any) -> Any:
        def forward(*args: Any, **kwargs: Any) -> Any:
            out = original(*args, **kwargs)
            for part, value in enumerate(out) if isinstance(out, tuple) else ((None, out),):
                if isinstance(value, torch.Tensor) and value.is_floating_point() and self._fits(value):
                    self._returned.append((module, part, flat(value).clone()))
            return out

        return forward

    def _fits(self, value: torch.Tensor) -> bool:
        return tuple(value.shape) in ((self._tokens, self._layer.experts), (1, self._tokens, self._layer.experts))


def biases(block: torch.nn.Module, experts: int) -> list[torch.Tensor]:
    """What may be added to scores for the choice: one number for each expert."""
    tensors = (*block.parameters(), *block.buffers())
    return [tensor.detach() for tensor in tensors if tensor.numel() == experts and tensor.is_floating_point()]


def install(gate: Gate, place: Place) -> None:
    """The gate speaks from now on."""
    wrap_forward(type(gate.module))
    gate.module._moescope_gate, gate.module._moescope_part = place, gate.part
    gate.module.register_buffer("_moescope_anchor", place.anchor, persistent=False)


def wrap_forward(cls: Any) -> None:
    """Gives a class its tap, once. Classes are wrapped, not instances: torch.compile looks methods up there."""
    original = cls.forward
    if hasattr(original, "moescope_gate"):
        return

    @functools.wraps(original)
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        out = original(self, *args, **kwargs)
        if self._moescope_gate is not None:
            logits = out if self._moescope_part is None else out[self._moescope_part]
            tap(self._moescope_gate, self._moescope_anchor, flat(logits))
        return out

    forward.moescope_gate = True
    cls.forward, cls._moescope_gate = forward, None
