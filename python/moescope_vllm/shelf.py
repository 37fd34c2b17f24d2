"""Captures of a server, as folders: any of its processes may have made one and any may be asked for it."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import time
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .beat import last_beat
from .errors import CaptureError
from .plan import Plan, parse_plan
from .requests import PLAN_FILE, write_plan

#: A capture that nobody reads is forgotten so long (s) after its last row, and after the engine has held a request of it.
EXPIRY_S = 600

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

    def create(self, plan: Plan, proof: str | None) -> Shelved:
        """Raises INVALID_ARGUMENT for a wrong proof: a client that means to be local must not silently get a slow stream."""
        local = proof is not None
        if proof is not None and not secrets.compare_digest(proof.encode(), self.proof.read_bytes()):
            raise CaptureError("INVALID_ARGUMENT", "this is not the content of the server's proof file; leave proof out when remote")
        key = uuid.uuid4().hex
        folder = write_plan(self._spool, key, plan)
        if local:
            (folder / _LOCAL).touch()
        return Shelved(key, folder, plan, local)

    def find(self, key: str) -> Shelved:
        folder = self._spool / key
        if not key.isalnum() or not (folder / PLAN_FILE).is_file():
            raise CaptureError("INVALID_ARGUMENT", "unknown capture; was it deleted, or has it expired?")
        raw: dict[str, Any] = json.loads((folder / PLAN_FILE).read_text())
        return Shelved(key, folder, parse_plan(raw, raw["samples"]), (folder / _LOCAL).exists())

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
        return True

    def release(self, shelved: Shelved) -> None:
        (shelved.folder / _READER).unlink(missing_ok=True)

    def finish(self, shelved: Shelved) -> None:
        """Everything was told. Files that a local reader has not opened yet stay until they expire."""
        (shelved.folder / PLAN_FILE).unlink(missing_ok=True)
        if not shelved.local:
            self.delete(shelved)

    def delete(self, shelved: Shelved) -> None:
        shutil.rmtree(shelved.folder, ignore_errors=True)

    def expire(self) -> None:
        """Removes captures without a reader whose folder has not changed for :data:`EXPIRY_S`, and emptied ones that were read."""
        for folder in self._spool.iterdir():
            try:
                if not folder.is_dir() or lives(folder / _READER):
                    continue
                idle = time.time() - max(folder.stat().st_mtime, last_beat(folder))
                read = not (folder / PLAN_FILE).exists() and not any(folder.glob("*.safetensors"))
                if idle > EXPIRY_S or (read and idle > 1):
                    shutil.rmtree(folder, ignore_errors=True)
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
