"""A client of the server's own host and user gets files in a folder of its own, and nobody else anywhere: python -m unittest test_near."""

from __future__ import annotations

import os
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

from test_rows import plan_of

from moescope_vllm import near, captures
from moescope_vllm.near import hand_over, near_folder
from moescope_vllm.requests import Capture
from moescope_vllm.captures import Captures
from moescope_vllm.spool import unread

NONCE = "a" * 32


class Near(unittest.TestCase):
    def setUp(self):
        root = tempfile.TemporaryDirectory()
        self.addCleanup(root.cleanup)
        self.root = Path(root.name)
        self.spool = self.root / "moescope-1-spool"
        self.spool.mkdir()

    def client(self, name: str = "moescope-rows-7-aBc", parent: Path | None = None, mode: int = 0o700, nonce: str = NONCE) -> Path:
        folder = (parent or self.root) / name
        folder.mkdir(mode=mode, parents=True)
        (folder / "nonce").write_text(nonce)
        return folder


class FoldersTest(Near):
    def test_a_folder_of_the_client_beside_or_below_the_spool(self):
        for folder in (self.client(), self.client(parent=self.spool)):
            self.assertEqual(near_folder(str(folder), NONCE, self.spool), folder)
            self.assertEqual([path.name for path in folder.iterdir()], ["nonce"])
        self.assertEqual([path.name for path in self.spool.iterdir()], ["moescope-rows-7-aBc"])

    def test_whatever_else_is_named_gets_nothing(self):
        good = self.client()
        (self.root / "moescope-rows-8-link").symlink_to(good)
        linked = self.client("moescope-rows-9-a")
        (linked / "nonce").unlink()
        (linked / "nonce").symlink_to(good / "nonce")
        pipe = self.client("moescope-rows-9-b")
        (pipe / "nonce").unlink()
        os.mkfifo(pipe / "nonce")
        endless = self.client("moescope-rows-9-c", nonce="a" * 1000)
        bare = self.client("moescope-rows-9-d")
        (bare / "nonce").unlink()
        closed = self.client("moescope-rows-9-e", nonce="")
        others = [
            self.root / "moescope-rows-8-link", linked, pipe, endless, bare, closed, self.client("other"), self.client("moescope-rows-9-f", mode=0o755),
            self.client("moescope-rows-9-g", self.root / "deeper"), self.spool, self.root, good / "nonce", good / ".." / good.name / "x", "", "\0", "/dev/zero",
            "/etc", "/proc/self/fd/0", "moescope-rows-7-aBc", "x" * 5000, None, 5, [], {},
        ]  # fmt: skip
        for folder in others:
            given = str(folder) if isinstance(folder, Path) else folder
            self.assertIsNone(near_folder(given, NONCE, self.spool), given)
        for nonce in ("", "b" * 32, NONCE + "a", "a" * 1000, None, 5, "é\ud800"[:1]):
            self.assertIsNone(near_folder(str(good), nonce, self.spool))
        with mock.patch.object(near.os, "getuid", lambda: 12345):
            self.assertIsNone(near_folder(str(good), NONCE, self.spool))
        self.assertFalse(list(self.spool.iterdir()))


class HandedOverTest(Near):
    def setUp(self):
        super().setUp()
        self.captures, self.folder = Captures(self.spool), self.client()
        self.served = self.captures.create(plan_of(), {"folder": str(self.folder), "nonce": NONCE})

    def write(self, name: str) -> Path:
        path = self.served.folder / f"{name}.d0p0.safetensors"
        path.write_bytes(b"rows")
        return path

    def test_rows_count_until_they_are_deleted(self):
        self.assertEqual(self.captures.find(self.served.key).local, self.folder)
        capture = Capture(self.served.key, self.served.folder, self.served.plan, {}, near=self.folder)
        path = self.write("00000001")
        self.assertTrue(unread(capture, path))
        name = hand_over(path, self.folder)
        self.assertRegex(name, r"^[0-9a-f]{32}\.00000001\.d0p0\.safetensors$")
        self.assertTrue(unread(capture, path))
        (self.folder / name).unlink()
        self.assertFalse(unread(capture, path))

    def test_what_is_not_read_goes_with_the_capture(self):
        hand_over(self.write("00000001"), self.folder)
        (self.folder / "other.safetensors").touch()
        self.captures.finish(self.served)
        with mock.patch.object(captures.time, "time", lambda: self.served.folder.stat().st_mtime + 60):
            self.captures.expire()
        self.assertEqual(len(list(self.folder.iterdir())), 3, "what its reader may still read was removed")
        self.captures.delete(self.served.folder)
        self.assertEqual({path.name for path in self.folder.iterdir()}, {"nonce", "other.safetensors"})
        self.assertEqual(list(self.spool.iterdir()), [])

    def test_who_is_elsewhere_gets_bytes(self):
        for given in ({}, {"folder": str(self.folder)}, {"folder": str(self.folder), "nonce": "b"}):
            self.assertIsNone(self.captures.create(plan_of(), given).local)


if __name__ == "__main__":
    unittest.main()
