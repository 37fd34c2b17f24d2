"""A sign of life of a capture's requests, for those who wait for their rows: they may queue for hours, or be gone."""

from __future__ import annotations

import contextlib
from pathlib import Path

from .arguments import is_key

_FILE = "beat"

#: How often (s) the sign is given while any of them lives.
BEAT_S = 15.0


def beat(spool: Path, key: str) -> None:
    """Best effort: the capture may be gone."""
    if is_key(key):
        with contextlib.suppress(OSError):
            (spool / key / _FILE).touch()


def last_beat(folder: Path) -> float:
    """When (s since the epoch) the engine last held a request of the capture; 0: never."""
    try:
        return (folder / _FILE).stat().st_mtime
    except OSError:
        return 0.0
