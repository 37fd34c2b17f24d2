"""Where values leave the model. Every tap ends in :meth:`Taps.saw`, of which each process has one."""

from __future__ import annotations

from typing import Protocol

import torch

from . import graphs
from .parallel import own_rows
from .streams import EXPERT_IDS, EXPERT_WEIGHTS

#: In graphs of up to this many tokens a tensor is held where it lies, in larger ones it is copied into a buffer all graphs share. A
#: held tensor needs its memory in every graph (together 34 MB for 48 layers of 128 experts, with 34 graph sizes in two modes); a
#: copy takes about 1.3 us a layer, 1 % of a step at one token, 0.2 % at 128.
HOLD_TOKENS = 128


class StepTaps(Protocol):
    """The step that is being captured."""

    def saw(self, stream: str, layer: int, x: torch.Tensor, residual: torch.Tensor | None, lasting: bool) -> None: ...

    def replayed(self, seen: graphs.Seen) -> None: ...


class Taps:
    """layers: stream -> the layers of this process that are tapped. delivers: whether this rank hands rows over (the first of its
    tensor-parallel group; the others hold the same values). graph_tokens: tokens of the largest CUDA graph, 0 without graphs.
    data_parallel: this process's rank among replicas that share experts, None without."""

    def __init__(self) -> None:
        self.layers: dict[str, list[int]] = {}
        self.delivers = False
        self.graph_tokens = 0
        self.data_parallel: int | None = None
        self.step: StepTaps | None = None
        self.places: dict[int, tuple[str, int]] = {}
        self._buffers: dict[str, torch.Tensor] = {}

    def reset(self, places: list[Place]) -> None:
        """Another model has been loaded. places: in the order of its layers."""
        self.step, self._buffers = None, {}
        self.places = {place.anchor.data_ptr(): (place.stream, place.layer) for place in places}
        self.layers = {}
        for place in places:
            self.layers.setdefault(place.stream, []).append(place.layer)

    def saw(self, stream: str, layer: int, x: torch.Tensor, residual: torch.Tensor | None = None, lasting: bool = False) -> None:
        """x: [tokens, width], the step's tokens of this process (padding behind them). With a residual the value is x + residual.

        lasting: nothing writes into x's memory before the step ends, if x is held."""
        if not self.delivers:
            return
        if self.data_parallel is not None and stream in (EXPERT_IDS, EXPERT_WEIGHTS):
            own = own_rows(x, self.data_parallel)
            if own is None:
                return
            x = own
        seen = graphs.recording()
        if seen is not None:
            kept = self._keep(stream, layer, x, residual, lasting)
            if kept is not None:
                seen[stream, layer] = kept
        elif self.step is not None:
            self.step.saw(stream, layer, x, residual, lasting)
        elif self.graph_tokens and stream not in self._buffers:
            # The first forward pass measures memory: what graphs will need has to be there by then.
            self._buffers[stream] = torch.zeros(
                (len(self.layers[stream]), self.graph_tokens, x.shape[1]), dtype=x.dtype, device=x.device
            )

    def replayed(self, seen: graphs.Seen) -> None:
        if self.step is not None:
            self.step.replayed(seen)

    def _keep(self, stream: str, layer: int, x: torch.Tensor, residual: torch.Tensor | None, lasting: bool) -> torch.Tensor | None:
        tokens = x.shape[0]
        if residual is None and lasting and tokens <= HOLD_TOKENS:
            return x
        buffer = self._buffers.get(stream)
        if buffer is None or tokens > buffer.shape[1]:
            return None  # rows of such a graph are reported missing, should one ever ask for them
        kept = buffer[self.layers[stream].index(layer), :tokens]
        if residual is None:
            kept.copy_(x)
        else:
            torch.add(x, residual, out=kept)
        return kept


TAPS = Taps()


class Place:
    """One tap. anchor: its mark in compiled code, a tensor of its own because torch.compile takes aliases apart."""

    def __init__(self, stream: str, layer: int, device: torch.device) -> None:
        self.stream = stream
        self.layer = layer
        self.anchor = torch.zeros(1, dtype=torch.uint8, device=device)


# Code that is traced by torch.compile reaches the taps through these operators, which it cannot look into. `anchor` is declared as
# written to, so that no pass removes, merges or reorders the call; it is never touched. It also says which tap it is: a number would
# make every layer's graph another one, and torch.compile would compile each.
_library = torch.library.Library("moescope", "DEF")
_library.define("saw(Tensor x, Tensor(a!) anchor) -> ()")
_library.define("saw_sum(Tensor x, Tensor residual, Tensor(a!) anchor) -> ()")


def _saw(x: torch.Tensor, anchor: torch.Tensor, residual: torch.Tensor | None = None) -> None:
    place = TAPS.places.get(anchor.data_ptr())
    if place is not None:
        TAPS.saw(*place, x, residual)


def _saw_sum(x: torch.Tensor, residual: torch.Tensor, anchor: torch.Tensor) -> None:
    _saw(x, anchor, residual)


for _name, _function in (("saw", _saw), ("saw_sum", _saw_sum)):
    _library.impl(_name, _function, "CompositeExplicitAutograd")
    torch.library.register_fake(f"moescope::{_name}", lambda *_: None, lib=_library)


def tap(place: Place, anchor: torch.Tensor, x: torch.Tensor, residual: torch.Tensor | None = None, lasting: bool = False) -> None:
    """A tap that may or may not be traced; see :meth:`Taps.saw`. anchor: the place's, as torch.compile is to find it."""
    if not torch.compiler.is_compiling():
        TAPS.saw(place.stream, place.layer, x, residual, lasting)
    elif residual is None:
        torch.ops.moescope.saw(x, anchor)
    else:
        torch.ops.moescope.saw_sum(x, residual, anchor)
