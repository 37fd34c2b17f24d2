"""One step of the engine: what its taps saw becomes chunks of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from .chunk import Chunk
from .gather import count, gather
from .graphs import Seen
from .requests import Group
from .transfer import Transfer

#: Eager steps may be prefills whose hidden states are gigabytes: layers of at least this size (bytes) leave the device at once.
LARGE = 16 << 20


class Step:
    """groups: called once, when the order of the batch is settled (by the first tap, or after a replayed graph)."""

    def __init__(self, groups: Callable[[], list[Group]], transfer: Transfer, tables: dict[Any, torch.Tensor]) -> None:
        self._groups = groups
        self._transfer = transfer
        self._tables = tables
        self._resolved: list[Group] | None = None
        self._eager: dict[tuple[int, str], dict[int, torch.Tensor]] = {}
        self._replayed: Seen = {}
        self._labels: list[tuple[torch.Tensor, torch.Tensor | None]] = []

    def groups(self) -> list[Group]:
        if self._resolved is None:
            self._resolved = self._groups()
        return self._resolved

    def saw(self, stream: str, layer: int, x: torch.Tensor, residual: torch.Tensor | None, lasting: bool) -> None:
        for number, group in enumerate(self.groups()):
            if layer not in group.capture.layers.get(stream, ()):
                continue
            rows = group.rows
            if residual is not None:
                value = x[rows] + residual[rows]
            elif isinstance(rows, slice):
                value = x[rows] if lasting and count(rows) == x.shape[0] else x[rows].clone()
            else:
                value = x[rows]
            if value.nbytes >= LARGE:
                value = self._transfer.to_host(value)
            self._eager.setdefault((number, stream), {})[layer] = value

    def replayed(self, seen: Seen) -> None:
        self._replayed.update(seen)

    def label(self, input_ids: torch.Tensor, positions: torch.Tensor) -> None:
        """Call when all work of the forward pass is queued. input_ids, positions: of the batch, on the device, where the next work may
        overwrite them."""
        for group in self.groups():
            tokens = input_ids[group.rows].to(torch.int32, copy=True)
            measured = positions[group.rows].to(torch.int32, copy=True) if group.measured else None
            self._labels.append((tokens, measured))

    def chunks(self) -> list[Chunk]:
        """Call after :meth:`label`. Raises LookupError when a layer's rows are missing."""
        chunks = []
        for number, (group, (tokens, measured)) in enumerate(zip(self.groups(), self._labels, strict=True)):
            streams = {stream: self._collect(number, stream, group) for stream in group.capture.layers}
            chunks.append(
                Chunk(
                    group.capture,
                    group.sample,
                    group.position,
                    group.prompt,
                    self._transfer.to_host(tokens),
                    streams,
                    group.certain,
                    measured if measured is None else self._transfer.to_host(measured),
                    group.repeats,
                )
            )
        arrived = self._transfer.done() if chunks else None
        for chunk in chunks:
            chunk.arrived = arrived
        return chunks

    def _collect(self, number: int, stream: str, group: Group) -> list[torch.Tensor]:
        wanted = group.capture.layers[stream]
        eager = self._eager.get((number, stream), {})
        if not eager and all((stream, layer) in self._replayed for layer in wanted):
            held = [self._replayed[stream, layer] for layer in wanted]
            return list(self._transfer.to_host(gather(held, group.rows, self._tables)))
        missing = [layer for layer in wanted if layer not in eager and (stream, layer) not in self._replayed]
        if missing:
            raise LookupError(f"{stream} of layer {missing[0]} did not pass its tap in this step")
        layers = [eager[layer] if layer in eager else self._replayed[stream, layer][group.rows] for layer in wanted]
        if all(layer.is_cuda for layer in layers):
            return list(self._transfer.to_host(torch.stack(layers)))
        return [self._transfer.to_host(layer) if layer.is_cuda else layer for layer in layers]
