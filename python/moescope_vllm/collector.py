"""Reads what the processes of vLLM wrote into one capture's folder."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import CaptureError
from .merge import StageMerger, stage_of
from .news import ABORTED, COMPLETE, FAILED
from .plan import Plan
from .requests import STOPPED
from .rows_file import read_metadata


@dataclass(frozen=True)
class RowsReady:
    path: Path
    rows: int
    bytes: int


@dataclass(frozen=True)
class SampleEnded:
    """rows: handed over in all. tokens: that went through the model. how: see `news.py`. why: it failed."""

    sample: int
    rows: int
    tokens: int
    how: str = COMPLETE
    why: str | None = None


class Collector:
    """stages: pipeline stages, each of which delivers the rows of its own layers. patience: how long (s) a capture of which only aborted
    samples are left waits for requests that take them over."""

    def __init__(self, folder: Path, plan: Plan, stages: int = 1, patience: float = 0.0) -> None:
        self._folder = folder
        self._plan = plan
        self._seen: set[str] = set()
        self._ended: dict[int, dict[int, dict[str, Any]]] = {}
        self._over: set[int] = set()
        self._aborted: dict[int, float] = {}
        self._stages = stages
        self._patience = patience
        self._merger = StageMerger(folder, plan, stages) if stages > 1 else None

    @property
    def complete(self) -> bool:
        if len(self._over) + len(self._aborted) < self._plan.samples:
            return False
        return not self._aborted or time.monotonic() - max(self._aborted.values()) >= self._patience

    @property
    def open(self) -> Iterator[int]:
        """Samples that have not ended."""
        return (sample for sample in range(self._plan.samples) if sample not in self._over and sample not in self._aborted)

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
            if name.startswith("refused.") and name.endswith(".json"):
                self._seen.add(name)
                found += self._refused(json.loads(path.read_text()))
            if name.endswith(".safetensors") and not name.startswith("merged."):
                self._seen.add(name)
                found += self._read(path)
        return found

    def _read(self, path: Path) -> list[RowsReady | SampleEnded]:
        metadata, rows = read_metadata(path)
        found: list[RowsReady | SampleEnded] = []
        if self._merger is not None:
            found += [RowsReady(merged, count, merged.stat().st_size) for merged, count in self._merger.add(path)]
        elif rows:
            found.append(RowsReady(path, rows, path.stat().st_size))
        else:
            path.unlink()
        for record in metadata["ended"]:
            found += self._end(stage_of(path), record)
        return found

    def _end(self, stage: int, record: dict[str, Any]) -> list[SampleEnded]:
        """A sample has ended when every stage says so of the same request for it."""
        sample = record["sample"]
        stages = self._ended.setdefault(sample, {})
        stages[stage] = record
        if len(stages) < self._stages or len({told["attempt"] for told in stages.values()}) > 1 or sample in self._over:
            return []
        worst = max(stages.values(), key=lambda told: (COMPLETE, ABORTED, FAILED).index(told["how"]))
        how = worst["how"]
        if how == ABORTED and (self._folder / stopped_file(sample)).exists():
            how = COMPLETE
        self._aborted.pop(sample, None)
        if how == ABORTED:
            self._aborted[sample] = time.monotonic()
        else:
            self._over.add(sample)
        return [SampleEnded(sample, worst["rows"], worst["tokens"], how, worst["why"])]

    def _refused(self, raw: dict[str, Any]) -> list[SampleEnded]:
        sample = raw["sample"]
        if sample in self._over or not 0 <= sample < self._plan.samples:
            return []
        self._aborted.pop(sample, None)
        self._over.add(sample)
        return [SampleEnded(sample, 0, 0, FAILED, raw["why"])]


def write_refusal(folder: Path, sample: int, why: str) -> None:
    """Says of one sample, whose request never reaches the engine, that it will not come. Best effort: the folder may be gone."""
    with contextlib.suppress(OSError):
        temporary = folder / f"refused.{sample}.tmp"
        temporary.write_text(json.dumps({"sample": sample, "why": why}))
        temporary.rename(folder / f"refused.{sample}.json")


def stopped_file(sample: int) -> str:
    """Its presence says that a stop string ended the sample's text, before the engine was told to abort it."""
    return f"{STOPPED}/{sample}"
