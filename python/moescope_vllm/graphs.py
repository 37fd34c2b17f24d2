"""A CUDA graph remembers the tensors its taps saw.

Python does not run while a graph is replayed, but its tensors stay where they were when the graph was recorded, as long as somebody
holds them: memory of a graph's pool is given to another graph only once it is free. So a tap costs nothing in a replay. Recording
keeps the tensors with the graph (they live and die with it), and replaying makes them the present ones. This holds for whole-model
and piecewise graphs alike, whoever records them.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch

#: What a graph saw: (stream, layer) -> tensor [tokens, width] on the device.
Seen = dict[tuple[str, int], torch.Tensor]

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
        self._moescope_seen = {}
        _recording = self
        begin(self, *args, **kwargs)

    @functools.wraps(end)
    def capture_end(self: Any) -> None:
        global _recording
        _recording = None
        end(self)

    @functools.wraps(replay)
    def replay_and_tell(self: Any) -> None:
        seen = getattr(self, "_moescope_seen", None)
        if seen:
            replayed(seen)
        replay(self)

    graph.capture_begin, graph.capture_end, graph.replay = capture_begin, capture_end, replay_and_tell
