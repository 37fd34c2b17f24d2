"""Captures of a server, as folders: any of its processes may have made one and any may be asked for it."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .arguments import is_key
from .beat import last_beat
from .errors import TooMany, UnknownCapture, WriterDied
from .near import left, near_folder, near_of, set_near, take_back
from .plan import Plan
from .requests import PLAN_FILE, read_plan, write_plan

#: A capture that nobody reads is forgotten so long (s) after its last row, and after the engine has held a request of it.
EXPIRY_S = 600
#: One that no request has ever named is forgotten sooner.
UNUSED_S = 120

#: The most captures a server keeps, and the most bytes of their plans.
MOST_CAPTURES, MOST_PLAN_BYTES = 1024, 32 << 20

_READER = "reader"


@dataclass(frozen=True)
class ServedCapture:
    key: str
    folder: Path
    plan: Plan
    #: Where its reader gets files instead of bytes.
    local: Path | None


class Captures:
    def __init__(self, spool: Path) -> None:
        self._spool = spool

    def create(self, plan: Plan, near: Mapping[str, Any]) -> ServedCapture:
        """near: {folder, nonce} of a client that takes itself to be on this host; see `near.py`. Raises TooMany, WriterDied."""
        self._assert_room(plan)
        key, local = uuid.uuid4().hex, near_folder(near.get("folder"), near.get("nonce"), self._spool)
        folder = write_plan(self._spool, key, plan)
        if local is not None:
            set_near(folder, local)
        return ServedCapture(key, folder, plan, local)

    def find(self, key: str) -> ServedCapture:
        """Raises UnknownCapture."""
        folder = self.folder(key)
        return ServedCapture(key, folder, read_plan(folder), near_of(folder))

    def folder(self, key: str) -> Path:
        """Raises UnknownCapture."""
        if not is_key(key) or not (self._spool / key / PLAN_FILE).is_file():
            raise UnknownCapture()
        return self._spool / key

    def _assert_room(self, plan: Plan) -> None:
        """Captures and their plans cost every process memory until they are over."""
        for died in self._spool.glob("died.*.json"):
            raise WriterDied(f"see the log; {died.name}")
        size, count = len(json.dumps(plan.wire(), separators=(",", ":"))), 0
        for entry in os.scandir(self._spool):
            with contextlib.suppress(OSError):
                if is_key(entry.name):
                    count += 1
                    size += os.stat(os.path.join(entry.path, PLAN_FILE)).st_size
        if count >= MOST_CAPTURES:
            raise TooMany(f"{count} captures are open, and {MOST_CAPTURES} can be; close some, or ask again later")
        if size > MOST_PLAN_BYTES:
            raise TooMany(f"the plans of open captures take {size} bytes, and can take {MOST_PLAN_BYTES}; close some, or name fewer positions")

    def claim(self, served: ServedCapture) -> bool:
        """Become its one reader; False when there is one."""
        reader = served.folder / _READER
        try:
            reader.symlink_to(str(os.getpid()))
        except FileExistsError:
            if lives(reader):
                return False
            reader.unlink(missing_ok=True)
            return self.claim(served)
        except FileNotFoundError:
            raise UnknownCapture() from None
        return True

    def release(self, served: ServedCapture) -> None:
        (served.folder / _READER).unlink(missing_ok=True)

    def finish(self, served: ServedCapture) -> None:
        """Everything was told. Files that a local reader has not opened yet stay until they expire."""
        (served.folder / PLAN_FILE).unlink(missing_ok=True)
        if served.local is None:
            self.delete(served.folder)

    def delete(self, folder: Path) -> None:
        """With what its reader has not read."""
        near = near_of(folder)
        if near is not None:
            take_back(folder.name, near)
        shutil.rmtree(folder, ignore_errors=True)

    def expire(self) -> None:
        """Removes captures without a reader whose folder has not changed for :data:`EXPIRY_S`, and emptied ones that were read."""
        for folder in self._spool.iterdir():
            try:
                if not is_key(folder.name) or lives(folder / _READER):
                    continue
                heard = last_beat(folder)
                idle = time.time() - max(folder.stat().st_mtime, heard)
                near = near_of(folder)
                waiting = any(folder.glob("*.safetensors")) or (near is not None and left(folder.name, near))
                read = not (folder / PLAN_FILE).exists() and not waiting
                if idle > (EXPIRY_S if heard else UNUSED_S) or (read and idle > 1):
                    self.delete(folder)
            except OSError:
                continue  # another process was faster


def lives(reader: Path) -> bool:
    """Whether the process that reads a capture is there: of several API servers one may have died."""
    try:
        process = int(os.readlink(reader))
        os.kill(process, 0)
    except (OSError, ValueError):
        return False
    return True
