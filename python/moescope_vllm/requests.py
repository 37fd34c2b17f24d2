"""The captured requests of this process, and which rows of a step they want."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .errors import CaptureError
from .gather import Rows
from .plan import Plan, parse_plan

#: Keys of `SamplingParams.extra_args` (over HTTP: `vllm_xargs`).
KEY_ARG, SAMPLE_ARG = "moescope", "moescope_sample"

PLAN_FILE = "plan.json"


@dataclass
class Capture:
    """One capture as this process sees it. layers: stream -> layer -> index along the first axis of what is delivered."""

    key: str
    folder: Path
    plan: Plan
    layers: dict[str, dict[int, int]]
    samples: set[int] = field(default_factory=set)
    failed: bool = False


@dataclass
class Tracked:
    """A captured request. computed: tokens whose rows have been seen; a preempted request computes its first ones again."""

    capture: Capture
    sample: int
    prompt: int
    first: int
    computed: int = 0


@dataclass
class Group:
    """The wanted rows of one capture in one step, in the order of the batch."""

    capture: Capture
    rows: Rows
    sample: np.ndarray  # int32 [rows]
    position: np.ndarray  # int32 [rows]
    prompt: np.ndarray  # int32 [rows], prompt tokens of the row's sample
    #: sample -> how many of its first rows are known to belong to it; see `spool.py`
    certain: dict[int, int]


class Requests:
    """spool: where captures announce their plans. available: stream -> layers of this process."""

    def __init__(self, spool: Path, available: Mapping[str, list[int]], device: torch.device) -> None:
        self._spool = spool
        self._available = available
        self._device = device
        self._captures: dict[str, Capture] = {}
        self.tracked: dict[str, Tracked] = {}

    def admit(self, request: str, arguments: Mapping[str, Any], prompt: int) -> None:
        """A request that names a capture starts. Raises CaptureError; the request itself is not affected."""
        if request in self.tracked:
            return  # preempted, and back
        capture = self._capture(str(arguments[KEY_ARG]))
        sample = int(arguments.get(SAMPLE_ARG, 0))
        if not 0 <= sample < capture.plan.samples:
            raise CaptureError("INVALID_ARGUMENT", f"sample {sample} of a capture of {capture.plan.samples} samples")
        if sample in capture.samples:
            raise CaptureError("INVALID_ARGUMENT", f"two requests are sample {sample} of one capture (is `n` above 1?)")
        capture.samples.add(sample)
        self.tracked[request] = Tracked(capture, sample, prompt, capture.plan.select.first(prompt))

    def retire(self, request: str) -> Tracked | None:
        """A request has ended; the caller says so to the capture."""
        tracked = self.tracked.pop(request, None)
        if tracked is not None:
            capture = tracked.capture
            everyone = len(capture.samples) == capture.plan.samples
            if everyone and all(other.capture is not capture for other in self.tracked.values()):
                self._captures.pop(capture.key, None)
        return tracked

    def wanted(self, order: Iterable[str], scheduled: Mapping[str, int], starts: Mapping[str, int]) -> list[Group]:
        """The rows of a step, one group a capture. order: the batch's requests; scheduled: their tokens; starts: tokens before."""
        spans: dict[str, list[tuple[Tracked, int, np.ndarray | None, int]]] = {}
        certain: dict[str, dict[int, int]] = {}
        row = 0
        for request in order:
            tokens = scheduled[request]
            tracked = self.tracked.get(request)
            if tracked is not None and not tracked.capture.failed:
                start, capture = starts[request], tracked.capture
                stop = start + tokens
                low = max(start, tracked.computed, tracked.first)
                tracked.computed = max(tracked.computed, stop)
                # The last row of a step may turn out to be one too many: async scheduling feeds a token before it knows it.
                known = stop if stop <= tracked.prompt else max(tracked.prompt, stop - 1)
                if low < stop:
                    select = capture.plan.select
                    if tokens == 1 and select.phase is None and select.positions is None:
                        spans.setdefault(capture.key, []).append((tracked, row, None, low))
                        certain.setdefault(capture.key, {})[tracked.sample] = known
                    else:
                        positions = select.matching(low, stop, tracked.prompt)
                        if len(positions):
                            spans.setdefault(capture.key, []).append((tracked, row - start, positions, 0))
                            certain.setdefault(capture.key, {})[tracked.sample] = known
            row += tokens
        return [self._group(self._captures[key], parts, certain[key]) for key, parts in spans.items()]

    def folder(self, key: str) -> Path | None:
        """Of a capture that was announced. The key names a folder: it must not lead anywhere else."""
        folder = self._spool / key
        return folder if key.isalnum() and folder.is_dir() else None

    def _group(self, capture: Capture, parts: list[tuple[Tracked, int, np.ndarray | None, int]], certain: dict[int, int]) -> Group:
        if all(positions is None for _, _, positions, _ in parts):  # a decode step: one row each
            rows = np.array([row for _, row, _, _ in parts], dtype=np.int64)
            sample = np.array([tracked.sample for tracked, *_ in parts], dtype=np.int32)
            position = np.array([low for *_, low in parts], dtype=np.int32)
            prompt = np.array([tracked.prompt for tracked, *_ in parts], dtype=np.int32)
        else:
            single = [np.array([low], dtype=np.int64) if at is None else at for _, _, at, low in parts]
            offsets = [row - low if at is None else row for _, row, at, low in parts]
            lengths = [len(at) for at in single]
            rows = np.concatenate([at + offset for at, offset in zip(single, offsets, strict=True)])
            position = np.concatenate(single).astype(np.int32)
            sample = np.repeat(np.array([tracked.sample for tracked, *_ in parts], dtype=np.int32), lengths)
            prompt = np.repeat(np.array([tracked.prompt for tracked, *_ in parts], dtype=np.int32), lengths)
        return Group(capture, self._index(rows), sample, position, prompt, certain)

    def _index(self, rows: np.ndarray) -> Rows:
        first, last = int(rows[0]), int(rows[-1])
        if last - first + 1 == len(rows):  # ascending, as batches are laid out in the order they were walked
            return slice(first, last + 1)
        index = torch.from_numpy(rows)
        return index if self._device.type == "cpu" else index.pin_memory().to(self._device, non_blocking=True)

    def _capture(self, key: str) -> Capture:
        known = self._captures.get(key)
        if known is not None:
            return known
        folder = self.folder(key)
        if folder is None:
            raise CaptureError("INVALID_ARGUMENT", "unknown capture key; was the capture deleted, or has it expired?")
        raw = json.loads((folder / PLAN_FILE).read_text())
        plan = parse_plan(raw, int(raw["samples"]))
        layers = {
            stream: {layer: index for index, layer in enumerate(layer for layer in layers if layer in self._available.get(stream, ()))}
            for stream, layers in plan.streams.items()
        }
        capture = Capture(key, folder, plan, {stream: index for stream, index in layers.items() if index})
        self._captures[key] = capture
        return capture


def write_plan(spool: Path, key: str, plan: Plan) -> Path:
    """Announces a capture to every process that shares the folder; requests may name its key from now on. Returns its folder."""
    folder = spool / key
    folder.mkdir(mode=0o700)
    temporary = folder / f"{PLAN_FILE}.tmp"
    temporary.write_text(json.dumps(plan.wire()))
    temporary.rename(folder / PLAN_FILE)
    return folder
