"""The captured requests of this process, and which rows of a step they want."""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import torch

from .arguments import is_key, key_in, sample_in
from .errors import CaptureError, UnknownCapture
from .gather import Rows
from .near import near_of
from .plan import Plan, parse_plan

PLAN_FILE = "plan.json"

#: Folder that says which replica has which sample.
CLAIMS = "claims"

#: Folder of the samples whose text a stop string has ended.
STOPPED = "stopped"

#: How often (s) captures that nobody wants any more are looked for: each costs a look into the file system.
FORGET_S = 1.0


@dataclass
class Sample:
    """One sample of a capture. prompt: checksum of its prompt; None: not known. request: the one that computes it; None: none does now.
    attempt: how many requests were it before. over: it has come to its end, and no further request changes that."""

    prompt: int | None
    request: str | None
    attempt: int = 0
    over: bool = False


@dataclass
class Capture:
    """One capture as this process sees it. layers: stream -> layer -> index along the first axis of what is delivered. near: the
    folder that its files are moved to for its reader."""

    key: str
    folder: Path
    plan: Plan
    layers: dict[str, dict[int, int]]
    samples: dict[int, Sample] = field(default_factory=dict)
    near: Path | None = None
    failed: bool = False


class SampleRefused(CaptureError):
    """One sample cannot go on; the capture's others do."""

    def __init__(self, capture: Capture, sample: int, message: str) -> None:
        super().__init__("INVALID_ARGUMENT", message)
        self.capture = capture
        self.sample = sample


@dataclass
class Tracked:
    """A captured request. computed: tokens whose rows have been seen and count; a preempted request computes its first ones again. seen:
    one behind the highest position of which there ever was a row."""

    capture: Capture
    sample: int
    prompt: int
    first: int
    computed: int = 0
    seen: int = 0


@dataclass
class Group:
    """The wanted rows of one capture in one step, in the order of the batch."""

    capture: Capture
    rows: Rows
    sample: np.ndarray  # int32 [rows]
    position: np.ndarray  # int32 [rows]; -1: only the model's own positions tell
    prompt: np.ndarray  # int32 [rows], prompt tokens of the row's sample
    #: sample -> how many of its first rows are known to belong to it; see `news.py`
    certain: dict[int, int]
    #: Whether the model's own positions are to come along, as labels or to prove them.
    measured: bool
    #: Whether rows may repeat positions that came before, and then are the ones that count.
    repeats: bool


@dataclass
class Span:
    """A request's wanted rows in a step. row: of the batch, its first in the step. at: positions, the first of which is not wanted
    necessarily; a number: one row; None: all of the step's `tokens`, at positions that only the model knows. start: position of `row`."""

    tracked: Tracked
    row: int
    tokens: int
    at: np.ndarray | int | None
    start: int


class Requests:
    """spool: where captures announce their plans. available: stream -> layers of this process. speculative: whether tokens are fed that
    may turn out to be wrong, so that how many of a text's tokens are computed is known on the device only. replica: this process's
    data-parallel rank; None: there is one only."""

    def __init__(
        self,
        spool: Path,
        available: Mapping[str, list[int]],
        device: torch.device,
        speculative: bool = False,
        replica: int | None = None,
    ) -> None:
        self._spool = spool
        self._available = available
        self._device = device
        self._speculative = speculative
        self._replica = replica
        self._captures: dict[str, Capture] = {}
        self._forgotten = -FORGET_S
        self.tracked: dict[str, Tracked] = {}

    def admit(self, request: str, arguments: Mapping[str, Any], prompt: Sequence[int]) -> Tracked | None:
        """A request that names a capture starts. None: it is known already (preempted, and back), or its sample is over.

        Who asks again for a sample that has not ended, a client that lost its connection for instance, takes it over: `attempt` of the
        sample is above 0 then. Raises CaptureError, a SampleRefused where it concerns this sample only; the request itself runs."""
        checksum = zlib.crc32(np.asarray(prompt, dtype="<i4").tobytes())
        known = self.tracked.get(request)
        if known is not None:
            if known.capture.samples[known.sample].prompt == checksum:
                return None
            self._refuse(known.capture, known.sample, "its prompt grew while it ran: a session of several prompts is no sample")
        capture = self._capture(key_in(arguments))
        number = sample_of(arguments, capture.plan)
        if capture.failed:
            return None
        sample = capture.samples.get(number)
        if sample is None:
            capture.samples[number] = Sample(checksum, request)
            if self._replica is not None and not claim(capture.folder, number, self._replica):
                self._refuse(capture, number, "another data-parallel rank has begun it, and what that one has handed over is not known here")
        elif sample.over:
            return None
        else:
            if sample.prompt not in (None, checksum):
                self._refuse(
                    capture, number, "two requests with different prompts were this sample; each, and each prompt of a list, needs its own"
                )
            self.tracked.pop(str(sample.request), None)
            sample.prompt, sample.request = checksum, request
            sample.attempt += 1
        tracked = Tracked(capture, number, len(prompt), capture.plan.select.first(len(prompt)))
        self.tracked[request] = tracked
        return tracked

    def retire(self, request: str, complete: bool) -> Tracked | None:
        """A request has ended; the caller says so to the capture. complete: no other one will take its sample over."""
        tracked = self.tracked.pop(request, None)
        if tracked is not None:
            sample = tracked.capture.samples[tracked.sample]
            sample.request, sample.over = None, complete
        return tracked

    def lost(self, key: str, number: int) -> Capture | None:
        """A request has ended that never started. Returns its capture, unless more is known of the sample than that."""
        try:
            capture = self._capture(key)
        except CaptureError:
            return None
        if number in capture.samples or not 0 <= number < capture.plan.samples:
            return None
        capture.samples[number] = Sample(None, None)
        return capture

    def wanted(
        self, batch: Mapping[str, int], starts: Mapping[str, int], settled: Mapping[str, int]
    ) -> list[Group]:
        """The rows of a step, one group a capture. batch: its requests in order, and how many of its rows each has; starts: tokens before,
        as the scheduler counts them; settled: see `news.py`."""
        spans: dict[str, list[Span]] = {}
        certain: dict[str, dict[int, int]] = {}
        repeats: set[str] = set()
        row = 0
        for request, tokens in batch.items():
            tracked = self.tracked.get(request)
            if tracked is not None and not tracked.capture.failed:
                key, start = tracked.capture.key, starts[request]
                if request not in settled:
                    raise LookupError(f"the scheduler does not say which rows of request {request} are its own")
                if start < tracked.seen or self._speculative:
                    tracked.computed = min(tracked.computed, settled[request])
                    repeats.add(key)
                at = self._positions(tracked, start, tokens)
                tracked.computed = max(tracked.computed, start + tokens)
                tracked.seen = max(tracked.seen, start + tokens)
                if at is None or isinstance(at, int) or len(at):
                    spans.setdefault(key, []).append(Span(tracked, row, tokens, at, start))
                    certain.setdefault(key, {})[tracked.sample] = settled[request]
            row += tokens
        return [self._group(self._captures[key], parts, certain[key], key in repeats) for key, parts in spans.items()]

    def folder(self, key: str) -> Path | None:
        """Of a capture that was announced. The key names a folder: it must not lead anywhere else."""
        folder = self._spool / key
        try:
            return folder if is_key(key) and folder.is_dir() else None
        except OSError:  # whatever the disk has
            return None

    def _positions(self, tracked: Tracked, start: int, tokens: int) -> np.ndarray | int | None:
        """See :class:`Span`. Under speculation the scheduler counts drafts as computed that may have been rejected meanwhile: its start is
        exact within a prompt only."""
        if self._speculative and start >= tracked.prompt:
            return None
        low, stop = max(start, tracked.computed, tracked.first), start + tokens
        select = tracked.capture.plan.select
        if select.phase is not None or select.positions is not None:
            return select.matching(low, stop, tracked.prompt)
        return low if stop - low == 1 else np.arange(low, max(low, stop), dtype=np.int64)

    def _group(self, capture: Capture, spans: list[Span], certain: dict[int, int], repeats: bool) -> Group:
        sample = np.array([span.tracked.sample for span in spans], dtype=np.int32)
        prompt = np.array([span.tracked.prompt for span in spans], dtype=np.int32)
        if all(isinstance(span.at, int) for span in spans):  # a decode step: one row each
            position = np.array([span.at for span in spans], dtype=np.int32)
            rows = np.array([span.row + span.at - span.start for span in spans], dtype=np.int64)
        else:
            at = [np.full(span.tokens, -1) if span.at is None else np.atleast_1d(span.at) for span in spans]
            rows = np.concatenate(
                [
                    span.row + (np.arange(span.tokens) if span.at is None else positions - span.start)
                    for span, positions in zip(spans, at, strict=True)
                ]
            )
            counts = [len(positions) for positions in at]
            position, sample, prompt = np.concatenate(at).astype(np.int32), np.repeat(sample, counts), np.repeat(prompt, counts)
        # Labels are proven wherever a prompt is computed; a decode step must not cost a copy more.
        measured = bool((position < prompt).any())
        return Group(capture, self._index(rows), sample, position, prompt, certain, measured, repeats)

    def _index(self, rows: np.ndarray) -> Rows:
        first, last = int(rows[0]), int(rows[-1])
        if last - first + 1 == len(rows):  # ascending, as batches are laid out in the order they were walked
            return slice(first, last + 1)
        index = torch.from_numpy(rows)
        return index if self._device.type == "cpu" else index.pin_memory().to(self._device, non_blocking=True)

    def _refuse(self, capture: Capture, number: int, why: str) -> NoReturn:
        sample = capture.samples[number]
        self.tracked.pop(str(sample.request), None)
        sample.request, sample.over = None, True
        raise SampleRefused(capture, number, why)

    def _capture(self, key: str) -> Capture:
        known = self._captures.get(key)
        if known is not None:
            return known
        folder = self.folder(key)
        if folder is None:
            raise UnknownCapture()
        plan = read_plan(folder)
        layers = {
            stream: {layer: index for index, layer in enumerate(layer for layer in layers if layer in self._available.get(stream, ()))}
            for stream, layers in plan.streams.items()
        }
        self._forget()
        capture = Capture(key, folder, plan, {stream: index for stream, index in layers.items() if index}, near=near_of(folder))
        self._captures[key] = capture
        return capture

    def _forget(self) -> None:
        """Lets go of captures that nobody wants any more. One that is through but not yet read is kept: a late request for a sample of
        it must not begin it anew."""
        now = time.monotonic()
        if now < self._forgotten + FORGET_S:
            return
        self._forgotten = now
        running = {id(tracked.capture) for tracked in self.tracked.values()}
        for key, capture in list(self._captures.items()):
            if id(capture) not in running and not (capture.folder / PLAN_FILE).exists():
                del self._captures[key]


def sample_of(arguments: Mapping[str, Any], plan: Plan) -> int:
    """The sample that a request names. Raises CaptureError."""
    try:
        sample = sample_in(arguments)
    except ValueError as error:
        raise CaptureError("INVALID_ARGUMENT", str(error)) from None
    if sample >= plan.samples:
        raise CaptureError(
            "INVALID_ARGUMENT",
            f"sample {sample} of a capture of {plan.samples} samples (a request with `n` takes as many, from the one it names)",
        )
    return sample


def claim(folder: Path, sample: int, replica: int) -> bool:
    """Whether the sample is this replica's, or becomes it: of several that share a capture's folder the first one has it."""
    path = folder / CLAIMS / str(sample)
    try:
        path.symlink_to(str(replica))  # a link is there with what it says, or not at all
        return True
    except FileExistsError:
        return os.readlink(path) == str(replica)


def write_plan(spool: Path, key: str, plan: Plan) -> Path:
    """Announces a capture to every process that shares the folder; requests may name its key from now on. Returns its folder."""
    folder = spool / key
    folder.mkdir(mode=0o700)
    (folder / CLAIMS).mkdir()
    (folder / STOPPED).mkdir()
    temporary = folder / f"{PLAN_FILE}.tmp"
    temporary.write_text(json.dumps(plan.wire(), separators=(",", ":")))
    temporary.rename(folder / PLAN_FILE)
    return folder


def read_plan(folder: Path) -> Plan:
    """Of a capture that was announced. Raises UnknownCapture when it was deleted meanwhile."""
    try:
        raw = json.loads((folder / PLAN_FILE).read_text())
    except FileNotFoundError:
        raise UnknownCapture() from None
    return parse_plan(raw, raw["samples"])
