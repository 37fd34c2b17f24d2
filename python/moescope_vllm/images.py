"""Images as users name them: paths, `http(s):` and `data:` URIs."""

from __future__ import annotations

import base64
import binascii
import io
import urllib.request
from typing import Any

from .errors import CaptureError

#: A picture; more is a mistake or an attack.
MAX_BYTES = 64 << 20
TIMEOUT_S = 30


def load_image(reference: str, inline: bool = False) -> Any:
    """A PIL image in RGB. inline: as a data URI only, for a server: its clients must not make it read files or call other hosts.

    Raises INVALID_ARGUMENT naming what is wrong with it."""
    from PIL import Image, UnidentifiedImageError

    shown = reference if len(reference) < 100 else f"{reference[:60]}..."
    if inline and not reference.startswith("data:"):
        raise CaptureError("INVALID_ARGUMENT", f"not a data URI: {shown}")
    try:
        return Image.open(io.BytesIO(read(reference))).convert("RGB")
    except UnidentifiedImageError as error:
        raise CaptureError("INVALID_ARGUMENT", f"not an image: {shown}") from error
    except (OSError, ValueError, binascii.Error, Image.DecompressionBombError) as error:
        raise CaptureError("INVALID_ARGUMENT", f"cannot read the image {shown}: {error}") from error


def read(reference: str) -> bytes:
    if reference.startswith("data:"):
        header, comma, data = reference.partition(",")
        if not comma or not header.endswith(";base64"):
            raise ValueError("a data URI of an image is base64")
        return base64.b64decode(data, validate=True)
    if reference.startswith(("http://", "https://")):
        with urllib.request.urlopen(reference, timeout=TIMEOUT_S) as response:
            data = response.read(MAX_BYTES + 1)
    else:
        with open(reference.removeprefix("file://"), "rb") as file:
            data = file.read(MAX_BYTES + 1)
    if len(data) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes")
    return data
