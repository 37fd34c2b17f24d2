"""One step of the engine: what its taps saw becomes chunks of rows."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from .chunk import Chunk
from .errors import CaptureError
from .gather import gather
from .graphs import Seen
from .requests import Group
from .transfer import Transfer

if TYPE_CHECKING:
    from .requests import Capture
    from .taps import Place, Value

#: Eager steps may be prefills whose hidden states are gigabytes: layers of at least this size (bytes) leave the device at once.
LARGE = 16 << 20


class Step:
    """wanted: the wanted rows and how many rows the step has, padding left out; called once, when the batch is settled (by the first tap,
    or after a replayed graph)."""

    def __init__(self, wanted: Callable[[], tuple[list[Group], int]], transfer: Transfer, tables: dict[Any, torch.Tensor]) -> None:
        self._wanted = wanted
        self._tokens = 0
        self._transfer = transfer
        self._tables = tables
        self._resolved: list[Group] | None = None
        self._eager: dict[tuple[int, str], dict[int, torch.Tensor]] = {}
        self._passed: set[tuple[str, int]] = set()
        self._failures: dict[tuple[str, int], Exception] = {}
        self._replayed = Seen()
        self._labels: list[tuple[torch.Tensor, torch.Tensor | None]] = []

    def groups(self) -> list[Group]:
        if self._resolved is None:
            self._resolved, self._tokens = self._wanted()
        return self._resolved

    def saw(self, place: Place, value: Value) -> None:
        stream, layer = place.stream, place.layer
        self._assert_new(place)
        groups = self.groups()
        if value.x.shape[0] < self._tokens:
            raise LookupError(f"{place} passed its tap with {value.x.shape[0]} rows in a step of {self._tokens} tokens")
        for number, group in enumerate(groups):
            if layer not in group.capture.layers.get(stream, ()):
                continue
            rows = value.rows(group.rows)
            if rows.nbytes >= LARGE:
                rows = self._transfer.to_host(rows)
            self._eager.setdefault((number, stream), {})[layer] = rows

    def failed(self, place: Place, error: Exception) -> None:
        self._failures[place.stream, place.layer] = error

    def replayed(self, seen: Seen) -> None:
        self._replayed.merge(seen)

    def label(self, input_ids: torch.Tensor, positions: torch.Tensor) -> None:
        """Call when all work of the forward pass is queued. input_ids, positions: of the batch, on the device, where the next work may
        overwrite them."""
        for group in self.groups():
            tokens = input_ids[group.rows].to(torch.int32, copy=True)
            measured = positions[group.rows].to(torch.int32, copy=True) if group.measured else None
            self._labels.append((tokens, measured))

    def chunks(self) -> tuple[list[Chunk], list[tuple[Capture, Exception]]]:
        """Call after :meth:`label`. The rows, and the captures whose rows cannot be trusted, each with why. Raises LookupError when
        nobody's can."""
        chunks, failed = [], []
        for number, (group, (tokens, measured)) in enumerate(zip(self.groups(), self._labels, strict=True)):
            try:
                streams = {stream: self._collect(number, stream, group) for stream in group.capture.layers}
                tokens = self._transfer.to_host(tokens)
                measured = measured if measured is None else self._transfer.to_host(measured)
            except Exception as error:  # noqa: BLE001
                failed.append((group.capture, error))
                continue
            chunks.append(
                Chunk(
                    group.capture, group.sample, group.position, group.prompt, tokens, streams, group.certain, measured, group.repeats
                )
            )  # fmt: skip
        arrived = self._transfer.done() if chunks else None
        for chunk in chunks:
            chunk.arrived = arrived
        return chunks, failed

    def _assert_new(self, place: Place) -> None:
        """A tap speaks once a step: of two values nobody knows which one is the row's."""
        key = place.stream, place.layer
        if key in self._passed:
            raise LookupError(f"{place} passed its tap twice in one step")
        self._passed.add(key)

    def _collect(self, number: int, stream: str, group: Group) -> list[torch.Tensor]:
        wanted = group.capture.layers[stream]
        for layer in wanted:
            self._assert_proven(stream, layer)
        eager, replayed = self._eager.get((number, stream), {}), self._replayed.tensors
        if not eager:
            return list(self._transfer.to_host(gather([replayed[stream, layer] for layer in wanted], group.rows, self._tables)))
        layers = [eager[layer] if layer in eager else replayed[stream, layer][group.rows] for layer in wanted]
        if all(layer.is_cuda for layer in layers):
            return list(self._transfer.to_host(torch.stack(layers)))
        return [self._transfer.to_host(layer) if layer.is_cuda else layer for layer in layers]

    def _assert_proven(self, stream: str, layer: int) -> None:
        """That the layer's rows are there, once, and one for each of the step's tokens."""
        key = stream, layer
        error = self._failures.get(key) or self._replayed.failures.get(key)
        if error is not None:
            raise CaptureError("ENGINE_FAILED", f"{error}; its rows cannot be told apart, so this capture ends") from error
        held = self._replayed.tensors.get(key)
        if key in self._passed and held is not None:
            raise LookupError(f"{stream} of layer {layer} passed its tap twice in one step")
        if key not in self._passed and held is None:
            raise LookupError(f"{stream} of layer {layer} did not pass its tap in this step")
        if held is not None and held.shape[0] < self._tokens:
            raise LookupError(f"{stream} of layer {layer} has {held.shape[0]} rows in a CUDA graph for a step of {self._tokens} tokens")
