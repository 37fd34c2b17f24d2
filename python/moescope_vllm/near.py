"""Clients on the server's own host, run by its own user: rows files are moved into a folder of theirs, instead of sent.

It is the client that makes the folder and writes a nonce into it. A server that has the nonce to compare, and can move a file into the folder,
shares host, user and file system with it; a client that can write there could read the server's files anyhow. Neither opens a file that the
other has named outside of that folder."""

from __future__ import annotations

import os
import re
import secrets
import stat
from pathlib import Path
from typing import Any

#: What a client's folder is called, below the folder that the spool is in or the spool itself; and the file that it has written there.
_NAME, NONCE_FILE = re.compile(r"moescope-rows-[0-9]{1,10}-[0-9A-Za-z]{1,32}", re.ASCII), "nonce"
_LONGEST_NONCE = 128
#: In a capture's folder, a link to its reader's.
_LINK = "local"


def near_folder(folder: Any, nonce: Any, spool: Path) -> Path | None:
    """The folder, if it is a client's of this host and user, and rows can be moved there. None: the client is elsewhere, or not what it says."""
    if not isinstance(folder, str) or not isinstance(nonce, str) or not 0 < len(nonce) <= _LONGEST_NONCE or len(folder) > 4096:
        return None
    path, own = Path(folder), spool.resolve()
    try:
        if not _NAME.fullmatch(path.name) or path.parent.resolve() not in (own, own.parent):
            return None
        handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
        try:
            about = os.fstat(handle)
            if about.st_uid != os.getuid() or about.st_mode & 0o077 or not secrets.compare_digest(written(handle), nonce.encode()):
                return None
        finally:
            os.close(handle)
        probe = own / f"probe.{secrets.token_hex(8)}"
        probe.touch(mode=0o600)
        try:
            probe.rename(path / probe.name)
            (path / probe.name).unlink()
        finally:
            probe.unlink(missing_ok=True)
    except (OSError, ValueError):  # not there, of somebody else, on another disk, a name that none can have
        return None
    return path


def written(folder: int) -> bytes:
    """The nonce in an open folder. Raises OSError."""
    handle = os.open(NONCE_FILE, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode) or about.st_uid != os.getuid() or about.st_size > _LONGEST_NONCE:
            return b""
        return os.read(handle, _LONGEST_NONCE)
    finally:
        os.close(handle)


def set_near(capture: Path, folder: Path) -> None:
    """capture: its folder. Its rows go to the client's folder from now on."""
    (capture / _LINK).symlink_to(folder)


def near_of(capture: Path) -> Path | None:
    """The folder of a capture's reader; None: it gets rows sent."""
    try:
        return Path(os.readlink(capture / _LINK))
    except OSError:
        return None


def hand_over(path: Path, folder: Path) -> str:
    """Moves a capture's file to its reader. Returns its name there. Raises OSError."""
    name = handed_over(path, folder).name
    path.rename(folder / name)
    return name


def handed_over(path: Path, folder: Path) -> Path:
    """Where a capture's file lies when it has been handed over."""
    return folder / f"{path.parent.name}.{path.name}"


def take_back(key: str, folder: Path) -> None:
    """Removes what a capture's reader has not read."""
    for path in left(key, folder):
        path.unlink(missing_ok=True)


def left(key: str, folder: Path) -> list[Path]:
    """What a capture's reader has not read."""
    return list(folder.glob(f"{key}.*.safetensors"))
