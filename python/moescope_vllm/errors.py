"""Errors that reach a user, with the codes of the TypeScript side."""

from __future__ import annotations

from typing import Any


class CaptureError(Exception):
    """code: see docs/vllm-protocol.md. message: what was wrong, where, what to do. status: of an answer over HTTP."""

    status = 400
    #: Whether the same request may succeed later.
    retryable = False

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def wire(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message, "retryable": self.retryable}


class UnknownCapture(CaptureError):
    """A key that names no capture."""

    status = 404

    def __init__(self) -> None:
        super().__init__("INVALID_ARGUMENT", "unknown capture; was it deleted, or has it expired?")


class CaptureIsRead(CaptureError):
    """A capture has one reader at a time."""

    status = 409
    retryable = True

    def __init__(self) -> None:
        super().__init__("INVALID_ARGUMENT", "this capture is being read")


class TooLarge(CaptureError):
    """A message of more than the server takes."""

    status = 413

    def __init__(self, message: str) -> None:
        super().__init__("INVALID_ARGUMENT", message)


class TooMany(CaptureError):
    """More than the server keeps at once; it may have room later."""

    status = 429
    retryable = True

    def __init__(self, message: str) -> None:
        super().__init__("OUT_OF_MEMORY", message)


class WriterDied(CaptureError):
    """Nothing can be captured any more."""

    status = 503

    def __init__(self, why: str) -> None:
        super().__init__("ENGINE_FAILED", f"what writes rows to files has ended ({why}); restart the server to capture again")


def wire(error: BaseException) -> dict[str, Any]:
    """The `error` object of a message. Memory errors keep their own code: they are the ones a user can act on."""
    if isinstance(error, CaptureError):
        return error.wire()
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return {"code": "OUT_OF_MEMORY", "message": str(error) or "out of memory"}
    return {"code": "ENGINE_FAILED", "message": f"{type(error).__name__}: {error}"}


def shown(value: Any) -> str:
    """Something of a client's, for an error: never long."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # a number of thousands of digits, a list in a list in a list
        return f"a {type(value).__name__}"
    return text if len(text) <= 80 else f"{text[:60]}... ({len(text)} characters)"
