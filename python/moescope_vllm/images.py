"""Images as users name them: paths, `http(s):` and `data:` URIs."""

from __future__ import annotations

import base64
import io
import urllib.request
from typing import Any

from .errors import CaptureError

#: A picture; more is a mistake or an attack. In a server's memory a pixel takes three bytes, however small its file is.
MAX_BYTES, MAX_PIXELS = 64 << 20, 64 << 20
#: The most images of a prompt.
MOST_IMAGES = 64
TIMEOUT_S = 30


def load_image(reference: str, inline: bool = False) -> Any:
    """A PIL image in RGB. inline: as a data URI only, for a server: its clients must not make it read files or call other hosts.

    Raises INVALID_ARGUMENT naming what is wrong with it."""
    from PIL import Image, UnidentifiedImageError

    named = reference if len(reference) < 100 else f"{reference[:60]}..."
    if inline and not reference.startswith("data:"):
        raise CaptureError("INVALID_ARGUMENT", f"not a data URI: {named}")
    try:
        image = Image.open(io.BytesIO(read(reference)))
        if inline and image.width * image.height > MAX_PIXELS:
            raise ValueError(f"{image.width} x {image.height} pixels; there can be {MAX_PIXELS} in all")
        return image.convert("RGB")
    except UnidentifiedImageError as error:
        raise CaptureError("INVALID_ARGUMENT", f"not an image: {named}") from error
    except Exception as error:  # noqa: BLE001
        # Decoders raise whatever comes to their mind: SyntaxError, struct.error, OverflowError, ...
        raise CaptureError("INVALID_ARGUMENT", f"cannot read the image {named}: {error}") from error


def load_images(references: list[str], inline: bool = False) -> list[Any]:
    """As :func:`load_image`; of a server's, all together have at most :data:`MAX_PIXELS`."""
    images, pixels = [], 0
    for reference in references:
        images.append(load_image(reference, inline))
        pixels += images[-1].width * images[-1].height
        if inline and pixels > MAX_PIXELS:
            raise CaptureError("INVALID_ARGUMENT", f"the images have more than {MAX_PIXELS} pixels together")
    return images


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
