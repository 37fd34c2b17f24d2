"""One run of the worker: requests in, steps and rows out."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import process
from .collector import Collector, RowsReady
from .encode import prompt_of, settle
from .errors import CaptureError
from .outputs import Outputs
from .plan import Plan, whole
from .purpose import pooled_task
from .requests import write_plan
from .sampling import pooling_params, sampling_params
from .tokens import Tokens

#: How often (s) the folder is looked into while the engine computes.
POLL_S = 0.01
#: The longest wait (s) for the last rows after the engine has finished: they are on their way to the disk.
DRAIN_S = 120


class EngineBroken(Exception):
    """A step of the engine failed."""


Send = Callable[[dict[str, Any]], None]


class Run:
    """id: of the message. cancelled: set by the thread that reads messages."""

    def __init__(self, engine: Any, tokens: Tokens, spool: Path, stages: int, plan: Plan, id: int, send: Send) -> None:
        self._engine = engine
        self._tokens = tokens
        self._plan = plan
        self._id = id
        self._send = send
        self._key = uuid.uuid4().hex
        self._folder = write_plan(spool, self._key, plan)
        self._collector = Collector(self._folder, plan, stages)
        self._pools = engine.model_config.runner_type == "pooling"
        self._failure: CaptureError | None = None
        self._computed = threading.Event()
        self.cancelled = threading.Event()

    def execute(self, requests: list[Mapping[str, Any]]) -> None:
        """Returns after the last row was announced, or soon after `cancelled` was set. Raises CaptureError; always leaves the engine
        idle. The folder stays: its files are the reader's."""
        names: list[str] = []
        announcer = threading.Thread(target=self._announce, name="moescope-announce", daemon=True)
        try:
            for sample, request in enumerate(requests):
                names.append(self._add(sample, request))
            announcer.start()
            self._generate(requests)
        except BaseException:
            self._cancel()
            raise
        finally:
            if self.cancelled.is_set() or self._failure is not None:
                self._cancel()
            if names:
                self._engine.abort_request(names, internal=True)
                settle(self._engine)
            self._computed.set()
            if announcer.ident is not None:
                announcer.join()
        if self._failure is not None and not self.cancelled.is_set():
            raise self._failure

    def discard(self) -> None:
        """Nobody will read what is left."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def discard_if_read(self) -> bool:
        """Whether it is gone."""
        if not any(self._folder.glob("*.safetensors")):
            self.discard()
        return not self._folder.exists()

    def _add(self, sample: int, request: Mapping[str, Any]) -> str:
        prompt, limit = prompt_of(request, f"sample {sample}"), whole(request.get("maxTokens", 0))
        self._check_room(sample, request, limit)
        try:
            return self._engine.add_request(str(sample), prompt, self._params(sample, request, limit))
        except ValueError as error:
            raise CaptureError("INVALID_ARGUMENT", f"sample {sample}: {error}") from error

    def _params(self, sample: int, request: Mapping[str, Any], limit: int) -> Any:
        from vllm.sampling_params import RequestOutputKind

        if not self._pools:
            return sampling_params(request, self._key, sample, RequestOutputKind.DELTA)
        if limit > 0:
            raise CaptureError("INVALID_ARGUMENT", f"sample {sample}: this model makes embeddings and generates nothing; leave maxTokens at 0")
        return pooling_params(pooled_task(self._engine.get_supported_tasks()), self._key, sample)

    def _check_room(self, sample: int, request: Mapping[str, Any], limit: int) -> None:
        """vLLM would cut the generation short without a word."""
        room = self._engine.model_config.max_model_len
        needed = len(request.get("tokens") or ()) + max(1, limit) - 1
        if needed > room:
            raise CaptureError("CONTEXT_OVERFLOW", f"sample {sample} needs {needed} tokens, the context has {room} (max_model_len)")

    def _generate(self, requests: list[Mapping[str, Any]]) -> None:
        outputs = Outputs(requests, self._plan)
        before = process.scheduled_tokens
        while self._engine.has_unfinished_requests() and not self.cancelled.is_set() and self._failure is None:
            step = outputs.take(self._step())
            processed, before = process.scheduled_tokens - before, process.scheduled_tokens
            if processed or step["drawn"] or step["finished"]:
                new = self._tokens.new(entry["tokenId"] for entry in step["drawn"])
                self._send({"type": "steps", "id": self._id, **step, "processed": processed, "newTokens": new})

    def _step(self) -> list[Any]:
        """Raises EngineBroken: whatever went wrong in there, the engine cannot be used again."""
        try:
            return self._engine.step()
        except Exception as error:
            raise EngineBroken(f"{type(error).__name__}: {error}") from error

    def _announce(self) -> None:
        """The announcing thread: rows are told of while the engine computes."""
        idle = 0.0
        try:
            while not self._collector.complete and not self.cancelled.is_set():
                found = self._collector.poll()
                for item in found:
                    if isinstance(item, RowsReady):
                        message = {"path": str(item.path), "rows": item.rows, "bytes": item.bytes}
                        self._send({"type": "rows", "id": self._id, **message})
                    else:
                        self._send({"type": "ended", "id": self._id, **asdict(item)})
                if not found:
                    idle = idle + POLL_S if self._computed.is_set() else 0.0
                    if idle > DRAIN_S:
                        raise CaptureError("ENGINE_FAILED", f"the last rows did not arrive within {DRAIN_S} s")
                    self.cancelled.wait(POLL_S)
                else:
                    idle = 0.0
        except CaptureError as error:
            self._failure = error
        except OSError as error:
            self._failure = CaptureError("STORAGE_FAILED", f"cannot read rows from {self._folder}: {error}")
        except Exception as error:  # noqa: BLE001
            self._failure = CaptureError("ENGINE_FAILED", f"rows cannot be announced: {type(error).__name__}: {error}")

    def _cancel(self) -> None:
        self.cancelled.set()
        self.discard()
