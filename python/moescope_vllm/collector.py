"""Reads what the processes of vLLM wrote into one capture's folder."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import CaptureError
from .merge import StageMerger
from .plan import Plan
from .rows_file import read_metadata


@dataclass(frozen=True)
class RowsReady:
    path: Path
    rows: int
    bytes: int


@dataclass(frozen=True)
class SampleEnded:
    sample: int
    rows: int
    tokens: int


class Collector:
    """stages: pipeline stages, each of which delivers the rows of its own layers."""

    def __init__(self, folder: Path, plan: Plan, stages: int = 1) -> None:
        self._folder = folder
        self._plan = plan
        self._seen: set[str] = set()
        self._ended: dict[int, int] = {}
        self._done = 0
        self._stages = stages
        self._merger = StageMerger(folder, plan, stages) if stages > 1 else None

    @property
    def complete(self) -> bool:
        return self._done == self._plan.samples

    def poll(self) -> list[RowsReady | SampleEnded]:
        """What has come since the last call, in order. Raises the CaptureError that ended the capture."""
        try:
            names = sorted(path.name for path in self._folder.iterdir())
        except FileNotFoundError:
            raise CaptureError("INVALID_ARGUMENT", "the capture was deleted") from None
        found: list[RowsReady | SampleEnded] = []
        for name in names:
            if name in self._seen:
                continue
            path = self._folder / name
            if name.startswith("failed.") and name.endswith(".json"):
                raw = json.loads(path.read_text())
                raise CaptureError(raw["code"], raw["message"])
            if name.endswith(".safetensors") and not name.startswith("merged."):
                self._seen.add(name)
                found += self._read(path)
        return found

    def _read(self, path: Path) -> list[RowsReady | SampleEnded]:
        metadata, rows = read_metadata(path)
        found: list[RowsReady | SampleEnded] = []
        if self._merger is not None:
            found += [RowsReady(merged, count, merged.stat().st_size) for merged, count in self._merger.add(path, metadata)]
        elif rows:
            found.append(RowsReady(path, rows, path.stat().st_size))
        else:
            path.unlink()
        for record in metadata["ended"]:
            found += self._end(record)
        return found

    def _end(self, record: dict[str, Any]) -> list[SampleEnded]:
        sample = record["sample"]
        self._ended[sample] = self._ended.get(sample, 0) + 1
        if self._ended[sample] < self._stages:
            return []
        self._done += 1
        return [SampleEnded(sample, record["rows"], record["tokens"])]
