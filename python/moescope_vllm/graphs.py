"""A CUDA graph remembers the tensors its taps saw.

Python does not run while a graph is replayed, but its tensors stay where they were when the graph was recorded, as long as somebody
holds them: memory of a graph's pool is given to another graph only once it is free. So a tap costs nothing in a replay. Recording
keeps the tensors with the graph (they live and die with it), and replaying makes them the present ones. This holds for whole-model
and piecewise graphs alike, whoever records them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from .taps import Place


class Seen:
    """What a graph saw, or several graphs of one step: (stream, layer) -> tensor [rows, width] on the device, and the taps that
    went wrong."""

    def __init__(self) -> None:
        self.tensors: dict[tuple[str, int], torch.Tensor] = {}
        self.failures: dict[tuple[str, int], Exception] = {}

    def add(self, place: Place, tensor: torch.Tensor) -> None:
        self._put((place.stream, place.layer), tensor)

    def failed(self, place: Place, error: Exception) -> None:
        self.failures[place.stream, place.layer] = error

    def merge(self, other: Seen) -> None:
        """Another graph of the same step."""
        for key, tensor in other.tensors.items():
            self._put(key, tensor)
        self.failures |= other.failures

    def _put(self, key: tuple[str, int], tensor: torch.Tensor) -> None:
        if key in self.tensors:
            self.failures[key] = LookupError(f"{key[0]} of layer {key[1]} passed its tap twice in one step")
        self.tensors[key] = tensor

    def __bool__(self) -> bool:
        return bool(self.tensors or self.failures)


_recording: Any = None


def recording() -> Seen | None:
    """What the graph that is being recorded in this process has seen so far; None outside of a recording."""
    return None if _recording is None else _recording._moescope_seen


def install(replayed: Callable[[Seen], None]) -> None:
    """replayed: called when a graph is replayed that saw something."""
    graph = torch.cuda.CUDAGraph
    begin, end, replay = graph.capture_begin, graph.capture_end, graph.replay

    @functools.wraps(begin)
    def capture_begin(self: Any, *args: Any, **kwargs: Any) -> None:
        global _recording
        self._moescope_seen = Seen()
        _recording = self
        begin(self, *args, **kwargs)

    @functools.wraps(end)
    def capture_end(self: Any, *args: Any, **kwargs: Any) -> None:
        global _recording
        _recording = None
        end(self, *args, **kwargs)

    @functools.wraps(replay)
    def replay_and_tell(self: Any, *args: Any, **kwargs: Any) -> None:
        seen = getattr(self, "_moescope_seen", None)
        if seen:
            replayed(seen)
        replay(self, *args, **kwargs)

    graph.capture_begin, graph.capture_end, graph.replay = capture_begin, capture_end, replay_and_tell
