"""What went wrong while vLLM started, as a code a program can act on. The message stays vLLM's own."""

from __future__ import annotations

import re

from .errors import CaptureError

_CODES = (
    ("OUT_OF_MEMORY", "out of memory|No available memory for the cache|Free memory on device|larger than the available KV cache"),
    ("MODEL_NOT_FOUND", "not a valid model identifier|does not appear to have a file named|Repo(sitory)? ?Not ?Found"),
    ("MODEL_NOT_FOUND", "Invalid repository ID|Repo id must|No such file|LocalEntryNotFound|OfflineModeIsEnabled"),
    ("MODEL_UNSUPPORTED", "architectures .* (are|is) not supported|does not recognize this architecture|Cannot find model module"),
    ("MODEL_INVALID", "SafetensorError|HeaderTooLarge|Error while deserializing|not a valid JSON"),
)


def load_error(error: BaseException) -> CaptureError:
    """The causes are searched too: vLLM wraps what a library raised."""
    if isinstance(error, CaptureError):
        return error
    chain: list[BaseException] = []
    link: BaseException | None = error
    while link is not None and link not in chain:
        chain.append(link)
        link = link.__cause__ or link.__context__
    text = "\n".join(f"{type(item).__name__}: {item}" for item in chain)
    code = next((code for code, pattern in _CODES if re.search(pattern, text)), "ENGINE_FAILED")
    if any(isinstance(item, ImportError) for item in chain) and code == "ENGINE_FAILED":
        code = "ENGINE_UNAVAILABLE"
    return CaptureError(code, f"{type(error).__name__}: {error}")
