"""Start-up in words: vLLM says what it does in its log, and nowhere else."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable

#: The first that matches names the stage. Texts of vLLM 0.25 to 0.32; one that changes costs a progress message and nothing else.
STAGES = (
    (re.compile(r"Starting to load model"), "weights"),
    (re.compile(r"Loading (?:model )?weights took|Model loading took"), "weights"),
    (re.compile(r"torch\.compile|Dynamo|[Cc]ompiling|Warming up model"), "compile"),
    (re.compile(r"KV cache|kv cache"), "cache"),
    (re.compile(r"[Cc]apturing CUDA graph|Graph capturing"), "graphs"),
    (re.compile(r"[Ii]nit engine|Initializing a V1 LLM engine"), "engine"),
)


class ProgressLog(logging.Handler):
    """send: takes stage and text."""

    def __init__(self, send: Callable[[str, str], None]) -> None:
        super().__init__(logging.INFO)
        self._send_stage = send

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        for pattern, stage in STAGES:
            if pattern.search(text):
                self._send_stage(stage, text.splitlines()[0][:200])
                return
