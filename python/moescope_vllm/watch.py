"""Follows the captured requests of one scheduler."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .arguments import arguments_of, key_in, sample_in
from .beat import BEAT_S, beat
from .news import ABORTED, COMPLETE, FAILED, Ended, News

#: vLLM's `RequestStatus`, by name; a status that is not here, of a later version perhaps, is no end that one could trust.
HOW = {
    "FINISHED_STOPPED": COMPLETE,
    "FINISHED_LENGTH_CAPPED": COMPLETE,
    "FINISHED_REPETITION": COMPLETE,
    "FINISHED_ABORTED": ABORTED,
}


class Watch:
    """spool: where captures have their folders."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._requests: dict[str, tuple[Any, str, int]] = {}
        self._ended: dict[str, Ended] = {}
        self._beaten = 0.0

    def added(self, request: Any) -> None:
        """A request has come, captured or not. It may wait long before it runs."""
        arguments = arguments_of(request)
        if arguments is None or request.request_id in self._requests:
            return
        key = key_in(arguments)
        try:
            sample = sample_in(arguments)
        except ValueError:
            sample = -1  # refused where it starts
        self._requests[request.request_id] = request, key, sample
        beat(self._spool, key)

    def freed(self, request: Any) -> None:
        """A request has ended, however it did."""
        known = self._requests.pop(request.request_id, None)
        if known is not None:
            _, key, sample = known
            how = HOW.get(request.status.name, FAILED)
            self._ended[request.request_id] = Ended(key, sample, request.num_prompt_tokens, settled(request), how)

    def news(self, scheduled: Iterable[str], finished: Iterable[str]) -> News | None:
        """What goes with a step of the `scheduled` requests, which names the `finished` ones. None: nothing captured is in it."""
        if not self._requests and not self._ended:
            return None
        self._beat()
        ended = {request: self._ended.pop(request) for request in finished if request in self._ended}
        known = {request: settled(self._requests[request][0]) for request in scheduled if request in self._requests}
        return News(known, ended) if known or ended else None

    def _beat(self) -> None:
        now = time.monotonic()
        if self._requests and now - self._beaten > BEAT_S:
            self._beaten = now
            for key in {key for _, key, _ in self._requests.values()}:
                beat(self._spool, key)


def settled(request: Any) -> int:
    """See :class:`News`. The token known last never went through the model, or is about to."""
    return max(request.num_prompt_tokens, request.num_tokens - 1)
