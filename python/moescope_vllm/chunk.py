"""Rows of one step of one capture on their way to a file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from .requests import Capture


@dataclass
class Chunk:
    """streams: stream -> one [rows, width] tensor a layer, in host memory. Tensors are valid once `arrived` has passed.

    certain: sample -> how many of its first rows are known to belong to it."""

    capture: Capture
    sample: np.ndarray  # int32 [rows]
    position: np.ndarray  # int32 [rows]
    prompt: np.ndarray  # int32 [rows]
    token_id: torch.Tensor  # int32 [rows]
    streams: dict[str, list[torch.Tensor]]
    certain: dict[int, int]
    arrived: torch.cuda.Event | None = None

    @property
    def rows(self) -> int:
        return len(self.sample)

    @property
    def nbytes(self) -> int:
        return 16 * self.rows + sum(layer.nbytes for layers in self.streams.values() for layer in layers)

    def select(self, rows: np.ndarray) -> Chunk | None:
        """The rows of a mask; None when it has none."""
        if rows.all():
            return self
        if not rows.any():
            return None
        index = torch.from_numpy(np.flatnonzero(rows))
        return Chunk(
            capture=self.capture,
            sample=self.sample[rows],
            position=self.position[rows],
            prompt=self.prompt[rows],
            token_id=self.token_id[index],
            streams={name: [layer[index] for layer in layers] for name, layers in self.streams.items()},
            certain={},
        )
