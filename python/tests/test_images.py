"""What is taken for an image, without vLLM (needs Pillow)."""

from __future__ import annotations

import base64
import io
import struct
import sys
import tempfile
import unittest
import zlib
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from moescope_vllm.errors import CaptureError
from moescope_vllm.images import load_image


def png(size: tuple[int, int] = (3, 2)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, (10, 20, 30)).save(file, "PNG")
    return file.getvalue()


def data_uri(image: bytes) -> str:
    return f"data:image;base64,{base64.b64encode(image).decode()}"


def bomb() -> bytes:
    """A few hundred bytes that claim to be 60,000 pixels square."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


class LoadImage(unittest.TestCase):
    def test_paths_and_data_uris(self) -> None:
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            file.write(png())
            file.flush()
            for reference in (file.name, f"file://{file.name}", data_uri(png())):
                self.assertEqual(load_image(reference).size, (3, 2))

    def test_a_server_takes_data_uris_only(self) -> None:
        self.assertEqual(load_image(data_uri(png()), inline=True).getpixel((0, 0)), (10, 20, 30))
        for reference in ("/etc/passwd", "file:///etc/passwd", "http://127.0.0.1:9/a.png", "HTTPS://host/a.png", ""):
            with self.assertRaises(CaptureError) as caught:
                load_image(reference, inline=True)
            self.assertEqual(caught.exception.code, "INVALID_ARGUMENT")

    def test_what_is_no_image_is_refused(self) -> None:
        for reference in (data_uri(b"hello"), data_uri(png()[:40]), "data:image/png,abc", "data:image;base64,???", data_uri(bomb())):
            with self.assertRaises(CaptureError) as caught:
                load_image(reference, inline=True)
            self.assertEqual(caught.exception.code, "INVALID_ARGUMENT")


if __name__ == "__main__":
    unittest.main()
