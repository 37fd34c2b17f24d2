"""Errors that reach a user, with the codes of the TypeScript side."""

from __future__ import annotations

from typing import Any


class CaptureError(Exception):
    """code: see docs/vllm-protocol.md. message: what was wrong, where, what to do."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def wire(self) -> dict[str, Any]:
        return {"code": self.code, "message": self.message}


def wire(error: BaseException) -> dict[str, Any]:
    """The `error` object of a message. Memory errors keep their own code: they are the ones a user can act on."""
    if isinstance(error, CaptureError):
        return error.wire()
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return {"code": "OUT_OF_MEMORY", "message": str(error)}
    return {"code": "ENGINE_FAILED", "message": f"{type(error).__name__}: {error}"}
