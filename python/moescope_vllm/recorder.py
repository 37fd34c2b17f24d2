"""Follows the engine step by step in the process that runs the model."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import torch

from .arguments import arguments_of, key_in
from .errors import CaptureError, WriterDied
from .news import ABORTED, COMPLETE, FAILED, NEWS, Ended, News
from .pending import End
from .requests import Capture, Group, Requests, SampleRefused
from .spool import Spool, write_failure
from .step import Step
from .taps import TAPS
from .transfer import Transfer

logger = logging.getLogger("vllm.moescope")

#: The requests of a step and how many of its rows each has, in the order of the batch, as the runner has laid it out.
Batch = Callable[[], Iterable[tuple[str, int]]]


class Recorder:
    """One per process that delivers rows. Nothing here raises into the engine: a failure ends the capture, not the request.

    refusal: why nothing can be captured here, if so."""

    def __init__(self, requests: Requests, spool: Spool, device: torch.device, rank: str, refusal: str | None) -> None:
        self._requests = requests
        self._spool = spool
        self._transfer = Transfer(device)
        self._tables: dict[Any, torch.Tensor] = {}
        self._rank = rank
        self._refusal = refusal
        self._batch: Batch = tuple
        self._scheduled: frozenset[str] = frozenset()
        self._ran: Step | None = None

    def before(self, scheduler_output: Any) -> None:
        """The engine is about to run a step."""
        news: News = getattr(scheduler_output, NEWS, None) or News()
        for request in scheduler_output.finished_req_ids:
            tracked = self._requests.tracked.get(request)
            try:
                self._retire(request, news.ended.get(request))
            except Exception as error:  # noqa: BLE001
                logger.warning("moescope: the end of request %s: %s", request, error)
                if tracked is not None:
                    self._fail([(tracked.capture, error)])
        for request in scheduler_output.scheduled_new_reqs:
            arguments = arguments_of(request)
            if arguments is not None:
                self._admit(request, arguments)
        tracked = self._requests.tracked
        scheduled = scheduler_output.num_scheduled_tokens
        if tracked and not tracked.keys().isdisjoint(scheduled):
            self._batch, self._scheduled = tuple, frozenset(scheduled)
            TAPS.step = Step(lambda: self._wanted(scheduler_output, news), self._transfer, self._tables)

    def batch(self, batch: Batch) -> None:
        """Comes after `before` and before the model runs. batch: asked when the first row passes a tap, or after a replayed graph."""
        self._batch = batch

    def ran(self, labels: Callable[[], tuple[torch.Tensor, torch.Tensor]]) -> None:
        """The model's work of the step is queued on the device. What runs from now on, a drafter for instance, is none of it.

        labels: token ids and positions of the batch, on the device."""
        step, TAPS.step = TAPS.step, None
        self._ran = None
        if not isinstance(step, Step):
            return
        try:
            step.label(*labels())
            self._ran = step
        except Exception as error:  # noqa: BLE001
            self._fail([(capture, error) for capture in self._present()])

    def deliver(self) -> None:
        """The rows may leave the device."""
        step, self._ran = self._ran, None
        if step is None:
            return
        try:
            chunks, failed = step.chunks()
            for chunk in chunks:
                self._spool.put(chunk)
        except Exception as error:  # noqa: BLE001
            failed = [(capture, error) for capture in self._present()]
        self._fail(failed)

    def abandon(self) -> None:
        """The step did not run, or its rows are lost."""
        TAPS.step = self._ran = None

    def _admit(self, request: Any, arguments: Mapping[str, Any]) -> None:
        try:
            if self._refusal is not None:
                raise CaptureError("ENGINE_INCOMPATIBLE", self._refusal)
            if self._spool.died is not None:
                raise WriterDied(self._spool.died)
            prompt = request.prompt_token_ids
            if prompt is None:
                raise CaptureError("INVALID_ARGUMENT", "prompts given as embeddings have no tokens to label rows with")
            tracked = self._requests.admit(request.req_id, arguments, prompt)
            if tracked is not None and tracked.capture.samples[tracked.sample].attempt:
                self._spool.again(tracked.capture, tracked.sample)
        except SampleRefused as error:
            logger.warning("moescope: sample %s: %s", error.sample, error)
            self._end(error.capture, End(error.sample, 0, 0, FAILED, error.message))
        except Exception as error:  # noqa: BLE001
            logger.warning("moescope: request %s is not captured: %s", request.req_id, error)
            folder = self._requests.folder(key_in(arguments))
            if folder is not None:
                write_failure(folder, self._rank, error)

    def _retire(self, request: str, ended: Ended | None) -> None:
        tracked = self._requests.retire(request, ended is None or ended.how != ABORTED)
        if tracked is not None and ended is not None:
            # The scheduler says how many rows are the request's own, and here is known how many of them have been computed.
            tokens = min(ended.settled, tracked.computed)
            self._end(tracked.capture, End(tracked.sample, tokens, tracked.prompt, ended.how, why_of(ended)))
        elif tracked is not None and not tracked.capture.failed:
            self._spool.fail(tracked.capture, LookupError(f"the scheduler does not say how request {request} ended"))
        elif ended is not None and ended.how != COMPLETE:
            capture = self._requests.lost(ended.key, ended.sample)
            if capture is not None:
                self._end(capture, End(ended.sample, 0, ended.prompt, ended.how, why_of(ended)))

    def _end(self, capture: Capture, end: End) -> None:
        if not capture.failed:
            self._spool.end(capture, replace(end, attempt=capture.samples[end.sample].attempt))

    def _wanted(self, scheduler_output: Any, news: News) -> tuple[list[Group], int]:
        """The step's groups, and how many rows it has."""
        starts = {request.req_id: request.num_computed_tokens for request in scheduler_output.scheduled_new_reqs}
        cached = scheduler_output.scheduled_cached_reqs
        starts.update(zip(cached.req_ids, cached.num_computed_tokens, strict=True))
        scheduled, batch = scheduler_output.num_scheduled_tokens, dict(self._batch())
        # A runner may leave out drafts that came to nothing, and never anything else.
        drafts = scheduler_output.scheduled_spec_decode_tokens
        if batch.keys() != scheduled.keys() or any(
            not scheduled[request] - len(drafts.get(request, ())) <= count <= scheduled[request] for request, count in batch.items()
        ):
            raise LookupError(f"the batch holds rows of requests {batch}, scheduled were {dict(scheduled)}")
        return self._requests.wanted(batch, starts, news.settled), sum(batch.values())

    def _present(self) -> list[Capture]:
        """Captures with requests in this step."""
        return [tracked.capture for request, tracked in self._requests.tracked.items() if request in self._scheduled]

    def _fail(self, failed: Iterable[tuple[Capture, Exception]]) -> None:
        """Ends captures that have not failed yet, each with why."""
        for capture, error in failed:
            if not capture.failed:
                logger.error("moescope: capture %s ends: %s", capture.key, error)
                self._spool.fail(capture, error)


def why_of(ended: Ended) -> str | None:
    return "the engine ended it with an error; see vLLM's log" if ended.how == FAILED else None
