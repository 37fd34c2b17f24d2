"""What clients of a server send: JSON of any size, depth and type until it has been looked at."""

from __future__ import annotations

import asyncio
import json
from typing import Any, NoReturn

from starlette.requests import ClientDisconnect, Request

from .errors import CaptureError, TooLarge
from .plan import member

#: The largest message (bytes). A plan: 131,072 positions of seven digits are 1 MiB. Texts: one that fills a context of a million
#: tokens, escaped. With images: what `images.py` takes of one, once.
PLAN_BYTES, TEXTS_BYTES, IMAGES_BYTES = 2 << 20, 32 << 20, 96 << 20

#: Texts that become tokens at once: some tens of milliseconds, which others who tokenise wait.
MOST_TEXTS = 4096

#: The most elements of a message. Each costs time and memory, and no other client is served meanwhile: a million took 0.1 s.
MOST_ELEMENTS = 1 << 20


async def body_of(request: Request, most: int) -> dict[str, Any]:
    """The object that a request brings, of at most `most` bytes. Raises CaptureError."""
    declared = request.headers.get("content-length", "0")
    if declared.isdecimal() and len(declared) < 19 and int(declared) > most:
        raise too_large(most)
    pieces, size = [], 0
    try:
        async for piece in request.stream():
            size += len(piece)
            if size > most:
                raise too_large(most)
            pieces.append(piece)
    except ClientDisconnect as error:
        raise CaptureError("INVALID_ARGUMENT", "the client has left") from error
    return await asyncio.to_thread(parse, b"".join(pieces))


def parse(data: bytes) -> dict[str, Any]:
    """Raises CaptureError."""
    if sum(data.count(mark) for mark in (b",", b"[", b"{")) > MOST_ELEMENTS:
        raise TooLarge(f"a message of more than {MOST_ELEMENTS} elements")
    try:
        raw = json.loads(data, parse_constant=refuse_constant)
    except (ValueError, RecursionError) as error:  # a RecursionError: lists in lists in lists
        raise CaptureError("INVALID_ARGUMENT", f"not JSON: {type(error).__name__}: {str(error)[:200]}") from error
    if not isinstance(raw, dict):
        raise CaptureError("INVALID_ARGUMENT", "the message is no object of JSON")
    return raw


def refuse_constant(name: str) -> NoReturn:
    """Python's JSON has NaN and Infinity; JSON has not."""
    raise ValueError(f"{name} is no JSON")


def texts_in(body: dict[str, Any]) -> list[dict[str, Any]]:
    """Texts to tokenise. Raises CaptureError."""
    texts = field(body, "texts", list)
    if len(texts) > MOST_TEXTS:
        raise TooLarge(f"more than {MOST_TEXTS} texts")
    for text in texts:
        if not isinstance(text, dict):
            raise CaptureError("INVALID_ARGUMENT", "texts is a list of objects")
        field(text, "text", str)
        field(text, "addSpecial", bool, True)
        field(text, "parseSpecial", bool, True)
    return texts


def field(body: dict[str, Any], name: str, kind: type, *default: Any) -> Any:
    """A member of a type, the default where it is missing or null. Raises INVALID_ARGUMENT."""
    try:
        value = member(body, name, *default)
    except ValueError as error:
        raise CaptureError("INVALID_ARGUMENT", str(error)) from error
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        raise CaptureError("INVALID_ARGUMENT", f"{name} is no {kind.__name__}")
    return value


def too_large(most: int) -> TooLarge:
    return TooLarge(f"a message of more than {most} bytes")
