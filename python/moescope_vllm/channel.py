"""The worker's side of the pipe: JSON lines in, JSON lines out."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from typing import Any


class Channel:
    """Takes standard output for itself: whatever else prints, C++ included, goes to standard error from now on."""

    def __init__(self) -> None:
        sys.stdout.flush()
        self._out = os.fdopen(os.dup(1), "w", encoding="utf-8")
        os.dup2(2, 1)
        self._in = os.fdopen(os.dup(0), "r", encoding="utf-8")
        # Children must not hold the pipe open, nor read from it.
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        self._lock = threading.Lock()

    def send(self, message: dict[str, Any]) -> None:
        """Raises BrokenPipeError when nobody listens any more."""
        line = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        with self._lock:
            self._out.write(line + "\n")
            self._out.flush()

    def messages(self) -> Iterator[dict[str, Any]]:
        """Until the other side closes its end."""
        for line in self._in:
            if line.strip():
                yield json.loads(line)
