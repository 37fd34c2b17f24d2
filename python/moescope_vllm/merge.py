"""Pipeline parallelism: each stage delivers the same rows with its own layers; here they become one file again."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from .plan import Plan
from .rows_file import LABELS, POSITION, SAMPLE, layer_tensor, write_rows


class StageMerger:
    """Stages write at their own pace: rows wait here until every stage has delivered them."""

    def __init__(self, folder: Path, plan: Plan, stages: int) -> None:
        self._folder = folder
        self._plan = plan
        self._waiting: list[dict[str, torch.Tensor]] = [{} for _ in range(stages)]
        self._sequence = 0

    def add(self, path: Path) -> list[tuple[Path, int]]:
        """Takes a stage's file (and deletes it). Returns the merged file that became possible, with its rows."""
        stage = stage_of(path)
        tensors = load_file(path)
        path.unlink()
        waiting = self._waiting[stage]
        self._waiting[stage] = join(waiting, tensors) if waiting else tensors
        return self._merge()

    def _merge(self) -> list[tuple[Path, int]]:
        keys = [row_keys(waiting) if waiting else np.zeros(0, dtype=np.int64) for waiting in self._waiting]
        common = keys[0]
        for other in keys[1:]:
            common = common[np.isin(common, other)]
        if not len(common):
            return []
        merged: dict[str, torch.Tensor] = {}
        for stage, (waiting, own) in enumerate(zip(self._waiting, keys, strict=True)):
            order = np.argsort(own)
            at = torch.from_numpy(order[np.searchsorted(own, common, sorter=order)])
            stay = torch.from_numpy(np.flatnonzero(~np.isin(own, common)))
            merged |= {name: tensor[at] for name, tensor in waiting.items() if name not in merged}
            self._waiting[stage] = {name: tensor[stay] for name, tensor in waiting.items()}
        self._sequence += 1
        path = self._folder / f"merged.{self._sequence:08d}.safetensors"
        names = [*LABELS, *(layer_tensor(stream, layer) for stream, layers in self._plan.streams.items() for layer in layers)]
        write_rows(path, {name: merged[name] for name in names}, {"ended": []})
        return [(path, len(common))]


def stage_of(path: Path) -> int:
    """Of a rows file's name, e.g. `00000001.d0p1.safetensors`."""
    return int(path.name.split(".")[1].partition("p")[2])


def row_keys(tensors: dict[str, torch.Tensor]) -> np.ndarray:
    """One number a row: sample and position."""
    return (tensors[SAMPLE].long() << 32 | tensors[POSITION].long()).numpy()


def join(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    if set(first) != set(second):
        # A file without rows carries labels only.
        return first if len(second[SAMPLE]) == 0 else second
    return {name: torch.cat((first[name], second[name])) for name in first}
