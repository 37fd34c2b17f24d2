"""What the taps said in one step whose values are known, and whether it is true."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch

from .chain import described, forward_replaced
from .graphs import Seen
from .hidden import stream_of
from .moe_layers import MoeLayer, gate_is_outside
from .parallel import own_rows
from .streams import EXPERT_IDS, EXPERT_WEIGHTS, HIDDEN_STATES, ROUTER_LOGITS
from .taps import TAPS, Place, Value


@dataclass(frozen=True)
class Said:
    """passed: the tensor itself, which later work may write into. copy: of its rows, as a capture would have them."""

    passed: torch.Tensor
    copy: torch.Tensor


class Witness:
    """Stands where a captured step stands (`Taps.step`)."""

    def __init__(self, tokens: int) -> None:
        self._tokens = tokens
        self.said: dict[tuple[str, int], Said] = {}
        self.wrong: dict[str, str] = {}

    def saw(self, place: Place, value: Value) -> None:
        key = place.stream, place.layer
        if key in self.said:
            raise LookupError(f"{place} passed its tap twice in one step: several layers use the same experts, perhaps")
        self.said[key] = Said(value.x, value.rows(slice(0, self._tokens)))

    def failed(self, place: Place, error: Exception) -> None:
        self.wrong.setdefault(place.stream, str(error))

    def replayed(self, seen: Seen) -> None:
        """No graph is there yet."""

    def written(self) -> set[tuple[str, int]]:
        """Taps whose tensor was written into before the step ended."""
        return {key for key, said in self.said.items() if not torch.equal(said.passed[: self._tokens].cpu(), said.copy.cpu())
                and said.passed.shape == said.copy.shape}  # fmt: skip

    def compare(self, stream: str, layer: int, expected: torch.Tensor, what: str) -> None:
        """expected: [tokens, width]."""
        said = self.said.get((stream, layer))
        if said is None:
            self.wrong.setdefault(stream, f"{stream} of layer {layer} did not pass its tap")
        elif said.copy.shape != expected.shape or not torch.equal(said.copy, expected.to(said.copy.dtype)):
            self.wrong.setdefault(stream, f"{stream} of layer {layer} is not what {what}")


@contextlib.contextmanager
def watch_layers(witness: Witness, layers: list[tuple[int, Any, str]]) -> Iterator[None]:
    """Compares hidden states with what decoder layers return. layers: number, layer, its contract."""
    with contextlib.ExitStack() as stack:
        for number, layer, contract in layers:
            stack.enter_context(forward_replaced(layer, watched_layer(witness, number, layer.forward, contract)))
        yield


def watched_layer(witness: Witness, number: int, original: Any, contract: str) -> Callable[..., Any]:
    def forward(*args: Any, **kwargs: Any) -> Any:
        out = original(*args, **kwargs)
        x, residual = stream_of(contract, out)
        expected = x if residual is None else x + residual
        witness.compare(HIDDEN_STATES, number, expected, "the layer returned")
        return out

    return forward


@contextlib.contextmanager
def watch_routers(witness: Witness, layers: list[MoeLayer], streams: set[str]) -> Iterator[None]:
    """Compares logits, ids and weights with what the experts' kernel is given. Routers that data-parallel ranks share are given the
    rows of all."""
    undo = []
    for layer in layers:
        router = None if layer.runner is None or layer.runner._quant_method.is_monolithic else layer.runner.router
        if router is None or not hasattr(router, "select_experts"):
            continue
        router.select_experts = watched_router(witness, layer, router.select_experts, streams - layer.refused.keys())
        undo.append(router)
    try:
        yield
    finally:
        for router in undo:
            del router.select_experts


def watched_router(witness: Witness, layer: MoeLayer, original: Any, streams: set[str]) -> Callable[..., Any]:
    number = layer.number

    def select_experts(*args: Any, **kwargs: Any) -> Any:
        chosen = original(*args, **kwargs)
        logits = kwargs["router_logits"] if "router_logits" in kwargs else args[1]
        weights, ids, logits = (own(value) for value in (*chosen, logits))
        if ROUTER_LOGITS in streams and not gate_is_outside(layer.runner):
            behind = logits.shape[1] - layer.experts
            if behind and not getattr(layer.runner, "_fse_fuse_gate", False):
                witness.wrong.setdefault(
                    ROUTER_LOGITS,
                    f"layer {number} has {layer.experts} experts, its router {logits.shape[1]} logits: {described(logits)}",
                )
            witness.compare(ROUTER_LOGITS, number, logits[:, : layer.experts], "its router was given")
        if layer.zero_experts:
            # What the kernel is given has no zero experts any more: expert 0 with weight 0 in their place.
            compare_real(witness, layer, weights, ids, streams)
            return chosen
        if EXPERT_IDS in streams and layer.runner.eplb_state is None:  # with it, ids are those of replicas here
            witness.compare(EXPERT_IDS, number, ids, "its experts were given")
        if EXPERT_WEIGHTS in streams:
            witness.compare(EXPERT_WEIGHTS, number, weights, "its experts were given")
        return chosen

    return select_experts


def own(value: torch.Tensor) -> torch.Tensor:
    """This data-parallel rank's rows of what the experts were given."""
    return value if TAPS.data_parallel is None else own_rows(value, TAPS.data_parallel)


def compare_real(witness: Witness, layer: MoeLayer, weights: torch.Tensor, ids: torch.Tensor, streams: set[str]) -> None:
    real = layer.experts - layer.zero_experts
    said = witness.said.get((EXPERT_IDS, layer.number))
    if said is None or not {EXPERT_IDS, EXPERT_WEIGHTS} <= streams:
        return
    zero = said.copy.to(ids.dtype) >= real
    given = witness.said.get((EXPERT_WEIGHTS, layer.number))
    for stream, one, theirs in ((EXPERT_IDS, said, ids), (EXPERT_WEIGHTS, given, weights)):
        if one is None or not torch.equal(one.copy.to(theirs.dtype).masked_fill(zero, 0), theirs):
            witness.wrong.setdefault(stream, f"{stream} of layer {layer.number} is not what its experts were given")
