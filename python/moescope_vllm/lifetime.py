"""A worker ends with its parent, and takes everything it started along."""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import sys
from pathlib import Path

_PR_SET_PDEATHSIG = 1

#: Names the worker to the processes it starts.
OWNER = "MOESCOPE_OWNER"


def follow_parent(number: int) -> None:
    """Have the kernel send this process a signal when its parent ends, however it ends. Linux only; elsewhere nothing happens."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, number)


def follow_owner() -> None:
    """In a process vLLM started below a worker: never outlive it."""
    owner = os.environ.get(OWNER)
    if owner and int(owner) != os.getpid():
        follow_parent(signal.SIGKILL)
        if not Path(f"/proc/{owner}").exists() and sys.platform == "linux":
            os._exit(1)  # it ended before this process could ask


def leave(status: int, spool: Path | None) -> None:
    """End now: no clean-up of Python's or vLLM's may keep a dead session's process alive."""
    below = descendants()
    left = {segment for process in [os.getpid(), *below] for segment in collectives(process)}
    for child in below:
        try:
            os.kill(child, signal.SIGKILL)
        except ProcessLookupError:
            continue
    for segment in left:
        segment.unlink(missing_ok=True)
    if spool is not None:
        shutil.rmtree(spool, ignore_errors=True)
    sys.stderr.flush()
    os._exit(status)


def descendants() -> list[int]:
    """Processes below this one, except Python's resource tracker: it removes shared memory that others left, then ends by itself."""
    found, level = [], [os.getpid()]
    while level:
        level = [child for parent in level for child in children(parent)]
        found += [child for child in level if not is_tracker(child)]
    return found


def collectives(process: int) -> list[Path]:
    """What vLLM's ranks on CPUs share: made in C++, so that Python's tracker does not know it, and whoever is killed leaves it."""
    try:
        maps = Path(f"/proc/{process}/maps").read_text()
    except OSError:
        return []
    paths = (line.split(maxsplit=5)[-1] for line in maps.splitlines())
    return [Path(path) for path in paths if path.startswith("/dev/shm/vllm_dist_") and not path.endswith("(deleted)")]


def children(process: int) -> list[int]:
    try:
        tasks = list(Path(f"/proc/{process}/task").iterdir())
        return [int(child) for task in tasks for child in (task / "children").read_text().split()]
    except OSError:
        return []


def is_tracker(process: int) -> bool:
    try:
        return b"resource_tracker" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False
