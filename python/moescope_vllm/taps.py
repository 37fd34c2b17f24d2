"""Where values leave the model. Every tap ends in :meth:`Taps.saw`, of which each process has one.

A tap never raises into the model: what goes wrong in it ends the captures that wanted its values, and the request goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

from . import graphs
from .parallel import own_rows, step_rows
from .streams import EXPERT_IDS, EXPERT_WEIGHTS

#: In graphs of up to this many tokens a tensor is held where it lies, in larger ones it is copied into a buffer all graphs share. A
#: held tensor needs its memory in every graph (together 34 MB for 48 layers of 128 experts, with 34 graph sizes in two modes); a
#: copy takes about 1.3 us a layer, 1 % of a step at one token, 0.2 % at 128.
HOLD_TOKENS = 128


class Place:
    """One tap. width: of its rows. anchor: its mark in compiled code, a tensor of its own because torch.compile takes aliases apart.

    held: in a CUDA graph, the tensor that passes stays as it is until the step ends, so that nobody needs to copy it (`held.py`)."""

    def __init__(self, stream: str, layer: int, width: int, device: torch.device, held: bool = False) -> None:
        self.stream = stream
        self.layer = layer
        self.width = width
        self.held = held
        self.anchor = torch.zeros(1, dtype=torch.uint8, device=device)

    def __repr__(self) -> str:
        return f"{self.stream} of layer {self.layer}"

    def saw(self, x: torch.Tensor, residual: torch.Tensor | None = None) -> None:
        """See :meth:`Taps.saw`."""
        TAPS.saw(self, x, residual)


@dataclass(frozen=True)
class Value:
    """What passed a tap: x, or x + residual; [rows, width] each, one row a token of this process's step (padding behind them)."""

    x: torch.Tensor
    residual: torch.Tensor | None = None

    def rows(self, rows: slice | torch.Tensor) -> torch.Tensor:
        """Some of its rows, in memory of their own: whoever computes on may write into the tensors that passed."""
        part = self.x[rows]
        if self.residual is not None:
            return part + self.residual[rows]
        return part.clone() if isinstance(rows, slice) else part


class StepTaps(Protocol):
    """The step that is being captured."""

    def saw(self, place: Place, value: Value) -> None: ...

    def failed(self, place: Place, error: Exception) -> None: ...

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
        self.places: dict[int, Place] = {}
        self._live: frozenset[Place] = frozenset()
        self._buffers: dict[str, torch.Tensor] = {}

    def reset(self, places: list[Place]) -> None:
        """Another model has been loaded. places: in the order of its layers."""
        self.step, self._buffers = None, {}
        self.places, self._live = {place.anchor.data_ptr(): place for place in places}, frozenset(places)
        self.layers = {}
        for place in places:
            self.layers.setdefault(place.stream, []).append(place.layer)

    @property
    def listening(self) -> bool:
        """Whether what passes a tap now is kept."""
        return self.delivers and (self.step is not None or graphs.recording() is not None)

    def failed(self, place: Place, error: Exception) -> None:
        """The place's value of this step is not to be trusted."""
        seen = graphs.recording()
        witness = self.step if seen is None else seen
        if witness is not None:
            witness.failed(place, error)

    def saw(self, place: Place, x: torch.Tensor, residual: torch.Tensor | None = None) -> None:
        """x: [rows, width], all rows of this process's step or of all data-parallel ranks' one after the other; columns behind
        the place's width are not its. With a residual the value is x + residual. Never raises."""
        if not self.delivers or place not in self._live:
            return
        seen, step = graphs.recording(), self.step
        try:
            if seen is not None:
                value = self._proven(place, x, residual, step_rows())
                seen.add(place, self._keep(place, value))
            elif step is not None:
                step.saw(place, self._proven(place, x, residual, step_rows()))
            elif self.graph_tokens and place.stream not in self._buffers:
                # The first forward pass measures memory: what graphs will need has to be there by then.
                size = (len(self.layers[place.stream]), self.graph_tokens, place.width)
                self._buffers[place.stream] = torch.zeros(size, dtype=x.dtype, device=x.device)
        except Exception as error:  # noqa: BLE001
            self.failed(place, error)

    def replayed(self, seen: graphs.Seen) -> None:
        if self.step is not None:
            self.step.replayed(seen)

    def _proven(self, place: Place, x: torch.Tensor, residual: torch.Tensor | None, rows: int | None) -> Value:
        """The value as the step's own rows. Raises LookupError where it is not one row a token: such rows would be labelled with
        other tokens, even with other users' requests. rows: of the step, None: nobody knows."""
        if self.data_parallel is not None and place.stream in (EXPERT_IDS, EXPERT_WEIGHTS):
            x = own_rows(x, self.data_parallel)
        if x.dim() != 2 or x.shape[1] < place.width:
            raise LookupError(f"{place} passed its tap as {list(x.shape)}, not as [tokens, {place.width}]")
        if rows is not None and x.shape[0] != rows:
            raise LookupError(f"{place} passed its tap with {x.shape[0]} rows in a step of {rows}")
        if residual is not None and residual.shape != x.shape:
            raise LookupError(f"{place} passed its tap as {list(x.shape)} and {list(residual.shape)}, which cannot be added")
        return Value(x if x.shape[1] == place.width else x[:, : place.width], residual)

    def _keep(self, place: Place, value: Value) -> torch.Tensor:
        """The value where it will lie whenever the graph is replayed. Raises LookupError when there is no room for it."""
        x, residual = value.x, value.residual
        tokens = x.shape[0]
        if residual is None and place.held and tokens <= HOLD_TOKENS:
            return x
        buffer = self._buffers.get(place.stream)
        if buffer is None or tokens > buffer.shape[1]:
            raise LookupError(f"{place} has no room for the {tokens} rows of a CUDA graph")
        kept = buffer[self.layers[place.stream].index(place.layer), :tokens]
        if residual is None:
            kept.copy_(x)
        else:
            torch.add(x, residual, out=kept)
        return kept


TAPS = Taps()


# Code that is traced by torch.compile reaches the taps through these operators, which it cannot look into. `anchor` is declared as
# written to, so that no pass removes, merges or reorders the call; it is never touched. It also says which tap it is: a number would
# make every layer's graph another one, and torch.compile would compile each.
_library = torch.library.Library("moescope", "DEF")
_library.define("saw(Tensor x, Tensor(a!) anchor) -> ()")
_library.define("saw_sum(Tensor x, Tensor residual, Tensor(a!) anchor) -> ()")


def _saw(x: torch.Tensor, anchor: torch.Tensor, residual: torch.Tensor | None = None) -> None:
    place = TAPS.places.get(anchor.data_ptr())
    if place is not None:
        place.saw(x, residual)


def _saw_sum(x: torch.Tensor, residual: torch.Tensor, anchor: torch.Tensor) -> None:
    _saw(x, anchor, residual)


for _name, _function in (("saw", _saw), ("saw_sum", _saw_sum)):
    _library.impl(_name, _function, "CompositeExplicitAutograd")
    torch.library.register_fake(f"moescope::{_name}", lambda *_: None, lib=_library)


def tap(place: Place, anchor: torch.Tensor, x: torch.Tensor, residual: torch.Tensor | None = None) -> None:
    """A tap that may or may not be traced; see :meth:`Taps.saw`. anchor: the place's, as torch.compile is to find it."""
    if not torch.compiler.is_compiling():
        place.saw(x, residual)
    elif residual is None:
        torch.ops.moescope.saw(x, anchor)
    else:
        torch.ops.moescope.saw_sum(x, residual, anchor)
