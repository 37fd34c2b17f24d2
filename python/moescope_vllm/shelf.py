"""Captures of a server, as folders: any of its processes may have made one and any may be asked for it."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from .arguments import is_key
from .beat import last_beat
from .errors import CaptureError, TooMany, UnknownCapture, WriterDied
from .plan import Plan
from .requests import PLAN_FILE, read_plan, write_plan

#: A capture that nobody reads is forgotten so long (s) after its last row, and after the engine has held a request of it.
EXPIRY_S = 600
#: One that no request has ever named is forgotten sooner.
UNUSED_S = 120

#: The most captures a server keeps, and the most bytes of their plans.
MOST_CAPTURES, MOST_PLAN_BYTES = 1024, 32 << 20

_PROOF, _READER, _LOCAL = "proof", "reader", "local"


@dataclass(frozen=True)
class Shelved:
    key: str
    folder: Path
    plan: Plan
    #: Whether its reader gets paths instead of bytes.
    local: bool


class Shelf:
    def __init__(self, spool: Path) -> None:
        self._spool = spool

    @property
    def proof(self) -> Path:
        """A file with a secret that only processes of this user on this host can read."""
        path = self._spool / _PROOF
        try:
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(file, "w") as out:
                out.write(secrets.token_hex(16))
        except FileExistsError:
            pass
        return path

    def create(self, plan: Plan, proof: str) -> Shelved:
        """Raises INVALID_ARGUMENT for a wrong proof: a client that means to be local must not silently get a slow stream. Raises TooMany,
        and WriterDied."""
        local = proof != ""
        if local and not secrets.compare_digest(proof.encode("utf-8", "replace"), self.proof.read_bytes()):
            raise CaptureError("INVALID_ARGUMENT", "this is not the content of the server's proof file; leave proof out when remote")
        self._assert_room(plan)
        key = uuid.uuid4().hex
        folder = write_plan(self._spool, key, plan)
        if local:
            (folder / _LOCAL).touch()
        return Shelved(key, folder, plan, local)

    def find(self, key: str) -> Shelved:
        """Raises UnknownCapture."""
        folder = self.folder(key)
        return Shelved(key, folder, read_plan(folder), (folder / _LOCAL).exists())

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
                if entry.is_dir(follow_symlinks=False):
                    count += 1
                    size += os.stat(os.path.join(entry.path, PLAN_FILE)).st_size
        if count >= MOST_CAPTURES:
            raise TooMany(f"{count} captures are open, and {MOST_CAPTURES} can be; close some, or ask again later")
        if size > MOST_PLAN_BYTES:
            raise TooMany(f"the plans of open captures take {size} bytes, and can take {MOST_PLAN_BYTES}; close some, or name fewer positions")

    def claim(self, shelved: Shelved) -> bool:
        """Become its one reader; False when there is one."""
        reader = shelved.folder / _READER
        try:
            reader.symlink_to(str(os.getpid()))
        except FileExistsError:
            if lives(reader):
                return False
            reader.unlink(missing_ok=True)
            return self.claim(shelved)
        except FileNotFoundError:
            raise UnknownCapture() from None
        return True

    def release(self, shelved: Shelved) -> None:
        (shelved.folder / _READER).unlink(missing_ok=True)

    def finish(self, shelved: Shelved) -> None:
        """Everything was told. Files that a local reader has not opened yet stay until they expire."""
        (shelved.folder / PLAN_FILE).unlink(missing_ok=True)
        if not shelved.local:
            self.delete(shelved.folder)

    def delete(self, folder: Path) -> None:
        shutil.rmtree(folder, ignore_errors=True)

    def expire(self) -> None:
        """Removes captures without a reader whose folder has not changed for :data:`EXPIRY_S`, and emptied ones that were read."""
        for folder in self._spool.iterdir():
            try:
                if not folder.is_dir() or lives(folder / _READER):
                    continue
                heard = last_beat(folder)
                idle = time.time() - max(folder.stat().st_mtime, heard)
                read = not (folder / PLAN_FILE).exists() and not any(folder.glob("*.safetensors"))
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
