"""Follows the engine step by step in the process that runs the model."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import torch

from .errors import CaptureError
from .requests import KEY_ARG, Capture, Group, Requests
from .spool import Spool, write_failure
from .step import Step
from .taps import TAPS
from .transfer import Transfer

logger = logging.getLogger("vllm.moescope")

#: Attribute the scheduler's wrapper hangs on its output: request -> tokens whose rows belong to it.
LENGTHS = "moescope_lengths"


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
        self._order: Sequence[str] = ()
        self._scheduled: frozenset[str] = frozenset()

    def before(self, scheduler_output: Any) -> None:
        """The engine is about to run a step."""
        for request in scheduler_output.finished_req_ids:
            tracked = self._requests.retire(request)
            if tracked is not None and not tracked.capture.failed:
                tokens = getattr(scheduler_output, LENGTHS, {}).get(request, tracked.computed)
                self._spool.end(tracked.capture, tracked.sample, min(tokens, tracked.computed), tracked.prompt)
        for request in scheduler_output.scheduled_new_reqs:
            arguments = getattr(request.sampling_params, "extra_args", None)
            if arguments and KEY_ARG in arguments:
                self._admit(request, arguments)
        tracked = self._requests.tracked
        scheduled = scheduler_output.num_scheduled_tokens
        if tracked and not tracked.keys().isdisjoint(scheduled):
            self._order, self._scheduled = (), frozenset(scheduled)
            tokens = scheduler_output.total_num_scheduled_tokens
            TAPS.step = Step(lambda: self._wanted(scheduler_output), tokens, self._transfer, self._tables)

    def batch(self, order: Sequence[str]) -> None:
        """The order of the step's requests is settled; comes after `before` and before the model runs."""
        self._order = order

    def after(self, input_ids: torch.Tensor) -> None:
        """The step's work is queued on the device. input_ids: of the batch, on the device."""
        step, TAPS.step = TAPS.step, None
        if not isinstance(step, Step):
            return
        try:
            chunks, failed = step.chunks(input_ids)
            for chunk in chunks:
                self._spool.put(chunk)
        except Exception as error:  # noqa: BLE001
            failed = [(capture, error) for capture in self._present()]
        for capture, error in failed:
            logger.error("moescope: capture %s ends: %s", capture.key, error)
            self._spool.fail(capture, error)

    def abandon(self) -> None:
        """The step did not run."""
        TAPS.step = None

    def _admit(self, request: Any, arguments: dict[str, Any]) -> None:
        try:
            if self._refusal is not None:
                raise CaptureError("ENGINE_INCOMPATIBLE", self._refusal)
            prompt = request.prompt_token_ids
            if prompt is None:
                raise CaptureError("INVALID_ARGUMENT", "prompts given as embeddings have no tokens to label rows with")
            self._requests.admit(request.req_id, arguments, len(prompt))
        except Exception as error:  # noqa: BLE001
            logger.warning("moescope: request %s is not captured: %s", request.req_id, error)
            folder = self._requests.folder(str(arguments[KEY_ARG]))
            if folder is not None:
                write_failure(folder, self._rank, error)

    def _wanted(self, scheduler_output: Any) -> list[Group]:
        starts = {request.req_id: request.num_computed_tokens for request in scheduler_output.scheduled_new_reqs}
        cached = scheduler_output.scheduled_cached_reqs
        starts.update(zip(cached.req_ids, cached.num_computed_tokens, strict=True))
        order, scheduled = self._order, scheduler_output.num_scheduled_tokens
        if len(order) != len(scheduled) or not scheduled.keys() >= set(order):
            raise LookupError(f"the batch holds {len(order)} requests, {len(scheduled)} were scheduled")
        return self._requests.wanted(order, scheduled, starts)

    def _present(self) -> list[Capture]:
        """Captures with requests in this step."""
        tracked = [tracked for request, tracked in self._requests.tracked.items() if request in self._scheduled]
        return list({id(one.capture): one.capture for one in tracked if not one.capture.failed}.values())
