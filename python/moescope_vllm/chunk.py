"""Rows of one step of one capture on their way to a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .requests import Capture


@dataclass
class Chunk:
    """streams: stream -> one [rows, width] tensor a layer, in host memory. Tensors are valid once `arrived` has passed.

    certain: sample -> how many of its first rows are known to belong to it. measured: the positions the model computed with; None: they
    were not asked for, or have been looked at. repeats: whether rows may have positions that came before."""

    capture: Capture
    sample: np.ndarray  # int32 [rows]
    position: np.ndarray  # int32 [rows]; -1: `measured` tells
    prompt: np.ndarray  # int32 [rows]
    token_id: torch.Tensor  # int32 [rows]
    streams: dict[str, list[torch.Tensor]]
    certain: dict[int, int]
    measured: torch.Tensor | None = None  # int32 [rows]
    repeats: bool = False
    arrived: torch.cuda.Event | None = None

    @property
    def rows(self) -> int:
        return len(self.sample)

    @property
    def nbytes(self) -> int:
        return 16 * self.rows + sum(layer.nbytes for layers in self.streams.values() for layer in layers)

    def assert_rows(self) -> None:
        """Raises ValueError where labels and values are not as many."""
        columns = (self.sample, self.position, self.prompt, self.token_id)
        if any(len(column) != self.rows for column in columns) or any(
            layer.shape[0] != self.rows for layers in self.streams.values() for layer in layers
        ):
            raise ValueError(f"a chunk of {self.rows} rows has labels or values of another number")

    def settle(self) -> None:
        """Waits until the rows have arrived, and looks at their measured positions. Raises LookupError where they are others than those of
        the labels: rows would be labelled with tokens that they are not of."""
        if self.arrived is not None:
            self.arrived.synchronize()
            self.arrived = None
        if self.measured is not None:
            measured, self.measured = self.measured.numpy(), None
            wrong = np.flatnonzero((self.position >= 0) & (self.position != measured))
            if len(wrong):
                row = wrong[0]
                raise LookupError(
                    f"a row of sample {self.sample[row]} is labelled with position {self.position[row]}, the model computed position "
                    f"{measured[row]} ({len(wrong)} of {self.rows} rows are wrong)"
                )
            self.position = measured

    def select(self, rows: np.ndarray) -> Chunk | None:
        """The rows of a mask; None when it has none."""
        if rows.all():
            return self
        return self.take(np.flatnonzero(rows)) if rows.any() else None

    def take(self, rows: np.ndarray) -> Chunk:
        """The rows of an index, in its order."""
        index = torch.from_numpy(rows)
        return Chunk(
            capture=self.capture,
            sample=self.sample[rows],
            position=self.position[rows],
            prompt=self.prompt[rows],
            token_id=self.token_id[index],
            streams={name: [layer[index] for layer in layers] for name, layers in self.streams.items()},
            certain={},
            repeats=self.repeats,
        )
