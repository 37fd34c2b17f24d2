"""The thread that writes rows files."""

from __future__ import annotations

import contextlib
import json
import logging
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from .chunk import Chunk
from .errors import CaptureError, WriterDied, wire
from .near import handed_over
from .pending import End, Pending
from .plan import PHASES
from .requests import PLAN_FILE, Capture
from .rows_file import PHASE, POSITION, SAMPLE, TOKEN_ID, layer_tensor, write_rows
from .settings import Settings
from .streams import EXPERT_IDS, EXPERT_WEIGHTS

logger = logging.getLogger("vllm.moescope")

#: Rows wait at most this long (s) for more of their kind, so that a decode step does not make a file each.
GATHER_S = 0.05
#: A file is not made larger than this (bytes), a step's rows aside.
FILE_BYTES = 64 << 20


class Spool(threading.Thread):
    """rank: tells the files of several processes apart, e.g. `d0p1`. scales: of layers, the factor the model applies to the
    experts' sum instead of to their weights. experts: expert ids are smaller."""

    def __init__(self, settings: Settings, rank: str, scales: Callable[[list[int]], list[float]], experts: int = 1 << 16) -> None:
        super().__init__(name="moescope-spool", daemon=True)
        self._settings = settings
        self._rank = rank
        self._scales = scales
        self._experts = experts
        self._events: queue.SimpleQueue[tuple] = queue.SimpleQueue()
        self._pending: dict[str, tuple[Capture, Pending, float]] = {}
        #: Files that nobody was seen to have deleted: capture, path, bytes; and the bytes by capture.
        self._files: list[tuple[Capture, Path, int]] = []
        self._held: Counter[str] = Counter()
        self._sequence = 0
        self._memory = threading.Condition()
        self._waiting_bytes = 0
        #: Why it writes no more, if so.
        self.died: str | None = None
        died_file(settings.spool, rank).unlink(missing_ok=True)

    # -- called by the engine's thread ---------------------------------------------------------------------------------------------

    def put(self, chunk: Chunk) -> None:
        """Hand rows over. At the memory limit an owned worker waits here for its reader."""
        capture, limit, size = chunk.capture, self._settings.host_bytes, chunk.nbytes
        if capture.failed or self._refused(capture):
            return
        with self._memory:
            if self._settings.waits:
                while self._waiting_bytes and self._waiting_bytes + size > limit and alive(capture) and self.died is None:
                    self._memory.wait(0.05)
            elif self._waiting_bytes + size > limit:
                self.fail(
                    capture,
                    CaptureError(
                        "OUT_OF_MEMORY",
                        f"rows wait for the disk with {self._waiting_bytes} bytes, and {size} more would pass the limit of {limit} "
                        "(MOESCOPE_HOST_BYTES); ask for fewer layers or rows, or raise it",
                    ),
                )
                return
            self._waiting_bytes += size
        self._events.put(("rows", capture, chunk))

    def end(self, capture: Capture, end: End) -> None:
        if not self._refused(capture):
            self._events.put(("end", capture, end))

    def again(self, capture: Capture, sample: int) -> None:
        """Another request has taken a sample over."""
        if not self._refused(capture):
            self._events.put(("again", capture, sample))

    def fail(self, capture: Capture, error: BaseException) -> None:
        """The capture is over; its requests go on."""
        capture.failed = True
        if self.died is None:
            self._events.put(("fail", capture, error))
        else:
            write_failure(capture.folder, self._rank, error)

    def _refused(self, capture: Capture) -> bool:
        """Nobody writes any more: the capture ends at once, in words."""
        if self.died is None:
            return False
        if not capture.failed:
            self.fail(capture, WriterDied(self.died))
        return True

    # -- the thread ----------------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        try:
            while True:
                self._turn()
        except BaseException as error:  # noqa: BLE001
            self._die(error)

    def _turn(self) -> None:
        due = min((since + GATHER_S for _, _, since in self._pending.values()), default=None)
        try:
            event = self._events.get(timeout=None if due is None else max(0.0, due - time.monotonic()))
        except queue.Empty:
            event = None
        if event is not None:
            try:
                self._take(event)
            except Exception as error:  # noqa: BLE001
                self._give_up(event[1], error)
        now = time.monotonic()
        for key, (capture, pending, since) in list(self._pending.items()):
            if pending.complete or pending.nbytes >= FILE_BYTES or now - since >= GATHER_S:
                self._guarded(key, capture, pending)

    def _die(self, error: BaseException) -> None:
        """Nothing of this thread's can be trusted any more: everybody is told, now and from now on."""
        self.died = f"{type(error).__name__}: {error}"
        logger.error("moescope: nothing can be captured any more", exc_info=error)
        write_json(died_file(self._settings.spool, self._rank), WriterDied(self.died).wire())
        waiting = [capture for capture, _, _ in self._pending.values()]
        with contextlib.suppress(queue.Empty):
            while True:
                waiting.append(self._events.get_nowait()[1])
        self._pending.clear()
        for capture in waiting:
            self._refused(capture)
        with self._memory:
            self._waiting_bytes = 0
            self._memory.notify_all()

    def _take(self, event: tuple) -> None:
        kind, capture, *rest = event
        if kind == "fail":
            return self._give_up(capture, rest[0])
        if capture.failed:
            if kind == "rows":
                self._release(rest[0].nbytes)
            return None
        if capture.key not in self._pending:
            self._pending[capture.key] = capture, Pending(capture.plan), time.monotonic()
        _, pending, _ = self._pending[capture.key]
        if kind == "rows":
            pending.add(rest[0])
        elif kind == "end":
            pending.end(rest[0])
        else:
            pending.again(rest[0])
        return None

    def _guarded(self, key: str, capture: Capture, pending: Pending) -> None:
        before = pending.nbytes
        try:
            if not alive(capture):
                raise CaptureError("INVALID_ARGUMENT", "the capture was deleted")
            self._flush(capture, pending)
        except Exception as error:  # noqa: BLE001
            # Whatever it is, it ends this capture with words. A thread that ends says nothing, to anybody's capture.
            if isinstance(error, OSError):
                error = CaptureError("STORAGE_FAILED", f"cannot write rows to {capture.folder}: {error}")
            self._give_up(capture, error)
            return
        self._release(before - pending.nbytes)
        if pending.complete:
            del self._pending[key]
        else:
            self._pending[key] = (capture, pending, time.monotonic())

    def _flush(self, capture: Capture, pending: Pending) -> None:
        chunk, ended = pending.take()
        if chunk is None and not ended:
            return
        tensors = self._tensors(capture, chunk)
        size = sum(tensor.nbytes for tensor in tensors.values())
        self._wait_for_room(capture, size)
        self._sequence += 1
        path = capture.folder / f"{self._sequence:08d}.{self._rank}.safetensors"
        size = write_rows(path, tensors, {"ended": ended})
        self._files.append((capture, path, size))
        self._held[capture.key] += size

    def _tensors(self, capture: Capture, chunk: Chunk | None) -> dict[str, torch.Tensor]:
        none = np.zeros(0, dtype=np.int32)
        sample, position, prompt = (none,) * 3 if chunk is None else (chunk.sample, chunk.position, chunk.prompt)
        tensors = {
            SAMPLE: torch.from_numpy(sample),
            POSITION: torch.from_numpy(position),
            TOKEN_ID: torch.from_numpy(none) if chunk is None else chunk.token_id,
            PHASE: torch.from_numpy((position >= prompt).astype(np.uint8) * PHASES.index("generated")),
        }
        for stream, parts in ({} if chunk is None else chunk.streams).items():
            layers = list(capture.layers[stream])
            if stream == EXPERT_IDS:
                self._assert_experts(parts, layers)
                parts = [part.to(torch.uint16) for part in parts]
            elif stream == EXPERT_WEIGHTS:
                scales = self._scales(layers)
                parts = [part.float() if scale == 1 else part.float() * scale for part, scale in zip(parts, scales, strict=True)]
            tensors |= {layer_tensor(stream, layer): part for layer, part in zip(layers, parts, strict=True)}
        return tensors

    def _assert_experts(self, parts: list[torch.Tensor], layers: list[int]) -> None:
        """Kernels mark rows of padding with -1, and replicas of experts have numbers of their own: neither is an expert."""
        for part, layer in zip(parts, layers, strict=True):
            low, high = (int(bound) for bound in part.aminmax()) if part.numel() else (0, 0)
            if low < 0 or high >= self._experts:
                wrong = low if low < 0 else high
                raise LookupError(f"layer {layer} has an expert {wrong} among its {self._experts}")

    def _wait_for_room(self, capture: Capture, size: int) -> None:
        while True:
            if self._over(capture, size) is None:
                return
            self._files = [entry for entry in self._files if unread(*entry[:2])]
            self._held = Counter()
            for owner, _, held in self._files:
                self._held[owner.key] += held
            over = self._over(capture, size)
            if over is None:
                return
            if not self._settings.waits:
                held, limit, variable = over
                raise CaptureError(
                    "OUT_OF_MEMORY",
                    f"{held} bytes of rows have not been read, and {size} more would pass the limit of {limit} "
                    f"({variable}); read them while the requests run, or raise it",
                )
            if not alive(capture):
                raise CaptureError("INVALID_ARGUMENT", "the capture was deleted")
            time.sleep(0.005)

    def _over(self, capture: Capture, size: int) -> tuple[int, int, str] | None:
        """The limit that a file of this size would pass: bytes held, limit, the limit's variable. A single file passes none."""
        for held, limit, variable in (
            (self._held[capture.key], self._settings.capture_bytes, "MOESCOPE_CAPTURE_BYTES"),
            (self._held.total(), self._settings.spool_bytes, "MOESCOPE_SPOOL_BYTES"),
        ):
            if held and held + size > limit:
                return held, limit, variable
        return None

    def _give_up(self, capture: Capture, error: BaseException) -> None:
        capture.failed = True
        _, pending, _ = self._pending.pop(capture.key, (None, None, 0.0))
        if pending is not None:
            self._release(pending.nbytes)
        if alive(capture):
            write_failure(capture.folder, self._rank, error)

    def _release(self, size: int) -> None:
        with self._memory:
            self._waiting_bytes -= size
            self._memory.notify_all()


def alive(capture: Capture) -> bool:
    """Whether anybody still wants it: deleting the plan is how a capture is cancelled."""
    return (capture.folder / PLAN_FILE).exists()


def unread(capture: Capture, path: Path) -> bool:
    """Whether a file waits for the capture's reader: looked for where it was written first, as it may be moved meanwhile."""
    return path.exists() or (capture.near is not None and handed_over(path, capture.near).exists())


def write_failure(folder: Path, rank: str, error: BaseException) -> None:
    """Says in the capture's folder why it is over."""
    write_json(folder / f"failed.{rank}.json", wire(error))


def died_file(spool: Path, rank: str) -> Path:
    """Its presence says that this rank's rows are written no more, and why."""
    return spool / f"died.{rank}.json"


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Best effort: the folder may be gone or the disk full."""
    with contextlib.suppress(OSError):
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(value))
        temporary.rename(path)
