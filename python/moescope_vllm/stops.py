"""Which captured texts a stop string has ended: found where text is made, outside of the engine."""

from __future__ import annotations

import contextlib
from collections.abc import Container
from pathlib import Path
from typing import Any

from .arguments import arguments_of, is_key, key_in, sample_in
from .collector import stopped_file


class Stops:
    """Of one of vLLM's output processors. spool: where captures have their folders."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._requests: dict[str, tuple[str, int]] = {}

    def added(self, request: Any) -> None:
        """request: vLLM's EngineCoreRequest, captured or not."""
        arguments = arguments_of(request)
        if arguments is None or request.sampling_params is None or not request.sampling_params.stop:
            return
        with contextlib.suppress(ValueError):
            self._requests[request.request_id] = key_in(arguments), sample_in(arguments)

    def processed(self, outputs: Any, running: Container[str]) -> None:
        """outputs: vLLM's, with the requests that the engine is to abort because their text has ended. running: those whose text goes on."""
        if not self._requests:
            return
        for request in outputs.reqs_to_abort:
            known = self._requests.pop(request, None)
            if known is not None and is_key(known[0]):
                with contextlib.suppress(OSError):
                    (self._spool / known[0] / stopped_file(known[1])).touch()
        self._requests = {request: known for request, known in self._requests.items() if request in running}
