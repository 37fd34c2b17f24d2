"""What a process was told through its environment, so that every process vLLM starts knows the same."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .streams import STREAMS, parse_streams

GIB = 1 << 30

#: Rows that wait for the disk. A second of hidden states of a 48-layer model at 128 tokens a step is about as much.
DEFAULT_HOST_BYTES = 1 * GIB
#: Files nobody has deleted yet.
DEFAULT_SPOOL_BYTES = 8 * GIB


@dataclass(frozen=True)
class Settings:
    """streams: what can be asked for. spool: the folder of rows files, private to this user. host_bytes, spool_bytes, capture_bytes:
    limits for each process that delivers rows: what waits for the disk, files nobody has deleted, those of one capture. waits: at a
    limit wait for the reader (an owned worker) instead of giving the capture up (a server)."""

    streams: tuple[str, ...]
    spool: Path
    host_bytes: int
    spool_bytes: int
    capture_bytes: int
    waits: bool


@cache
def settings() -> Settings:
    """Read once. The first process of a tree makes the folder and names it to those it starts."""
    spool = os.environ.get("MOESCOPE_SPOOL")
    if not spool:
        spool = tempfile.mkdtemp(prefix=f"moescope-{os.getpid()}-", dir=spool_root())
        os.environ["MOESCOPE_SPOOL"] = spool
        os.environ["MOESCOPE_SPOOL_OWNER"] = str(os.getpid())
        atexit.register(remove_spool, Path(spool))
    path = Path(spool)
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    spool_bytes = int(os.environ.get("MOESCOPE_SPOOL_BYTES", min(DEFAULT_SPOOL_BYTES, shutil.disk_usage(path).free // 2)))
    waits = os.environ.get("MOESCOPE_WAITS") == "1"
    return Settings(
        streams=parse_streams(os.environ.get("MOESCOPE_STREAMS", ",".join(STREAMS)).split(",")),
        spool=path,
        host_bytes=int(os.environ.get("MOESCOPE_HOST_BYTES", DEFAULT_HOST_BYTES)),
        spool_bytes=spool_bytes,
        # Clients of a server share its room: one that reads slowly must not take all of it.
        capture_bytes=int(os.environ.get("MOESCOPE_CAPTURE_BYTES", spool_bytes if waits else spool_bytes // 2)),
        waits=waits,
    )


def spool_root() -> Path:
    """Memory where there is plenty: rows live for milliseconds. A container's /dev/shm is often 64 MB, too small."""
    shared = Path("/dev/shm")
    if shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free >= 4 * GIB:
        return shared
    return Path(tempfile.gettempdir())


def remove_spool(spool: Path) -> None:
    """At the end of the process that made it; processes forked from it inherit the call, and leave the folder alone."""
    if made_here():
        shutil.rmtree(spool, ignore_errors=True)


def made_here() -> bool:
    """Whether this process made the folder: one that MOESCOPE_SPOOL named is the user's, and may hold other things."""
    return os.environ.get("MOESCOPE_SPOOL_OWNER") == str(os.getpid())


def sweep() -> None:
    """Removes folders whose maker is gone: what a power cut or a kill of the whole tree left."""
    for root in {Path("/dev/shm"), Path(tempfile.gettempdir())}:
        for folder in root.glob("moescope-*-*") if root.is_dir() else ():
            maker = folder.name.split("-")[1]
            try:
                if maker.isdigit() and folder.stat().st_uid == os.getuid() and not Path(f"/proc/{maker}").exists():
                    shutil.rmtree(folder, ignore_errors=True)
            except OSError:
                continue  # another process was faster
