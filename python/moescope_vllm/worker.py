"""`python -m moescope_vllm.worker`: one vLLM engine, owned by the process that started this one. See docs/vllm-protocol.md."""

from __future__ import annotations

import contextlib
import difflib
import logging
import os
import queue
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import lifetime
from .channel import Channel
from .errors import CaptureError, wire
from .introduction import introduction
from .layout import missing_here
from .load_errors import load_error
from .plan import check_plan, parse_plan
from .progress import ProgressLog
from .settings import made_here, settings, sweep
from .streams import STREAMS, parse_streams
from .tokens import Tokens


class Worker:
    def __init__(self, channel: Channel) -> None:
        self._channel = channel
        self._messages = channel.messages()
        self._work: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()
        self._running: tuple[int, threading.Event] | None = None
        self._cancelled: set[int] = set()
        self._spool: Path | None = None
        self._runs: list[Any] = []

    def main(self) -> None:
        lifetime.follow_parent(signal.SIGTERM)
        signal.signal(signal.SIGTERM, lambda *_: self.leave(0))
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole terminal; the parent decides
        try:
            start = next(self._messages, None)
            if start is None:
                self.leave(0)
            if start.get("type") != "start":
                raise CaptureError("INVALID_ARGUMENT", "the first message must be start")
            self._configure(start)
            threading.Thread(target=self._listen, name="moescope-listen", daemon=True).start()
            self._load(start)
        except BaseException as error:  # noqa: BLE001
            traceback.print_exc()
            self._send_error(None, load_error(error))
            self.leave(1)
        self._serve()

    def leave(self, status: int) -> None:
        lifetime.leave(status, self._spool if made_here() else None)

    # -- start -----------------------------------------------------------------------------------------------------------------------

    def _configure(self, start: dict[str, Any]) -> None:
        """Everything that processes of vLLM read from the environment, before the first of them exists."""
        streams = parse_streams(start.get("streams") or STREAMS)
        limits = start.get("limits") or {}
        os.environ |= {
            lifetime.OWNER: str(os.getpid()),
            "MOESCOPE_STREAMS": ",".join(streams),
            "MOESCOPE_WAITS": "1",
            # The scheduler runs here, beside the loop that drives it; workers of other GPUs are processes of their own.
            "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        }
        for name, variable in (("hostBytes", "MOESCOPE_HOST_BYTES"), ("spoolBytes", "MOESCOPE_SPOOL_BYTES")):
            if name in limits:
                os.environ[variable] = str(int(limits[name]))
        allowed = os.environ.get("VLLM_PLUGINS")
        if allowed is not None and "moescope" not in allowed.split(","):
            os.environ["VLLM_PLUGINS"] = f"{allowed},moescope"
        sweep()
        self._spool = settings().spool

    def _load(self, start: dict[str, Any]) -> None:
        self._progress("import", "importing vLLM")
        try:
            import vllm
            from vllm.engine.arg_utils import EngineArgs
            from vllm.v1.engine.llm_engine import LLMEngine
        except ImportError as error:
            raise CaptureError("ENGINE_UNAVAILABLE", f"{sys.executable} cannot import vLLM: {error}") from error
        missing = missing_here()
        if missing:
            raise CaptureError("ENGINE_INCOMPATIBLE", f"vLLM {vllm.__version__} is laid out in an unknown way: no {', '.join(missing)}")
        arguments = check_arguments(start.get("engineArgs") or {}, EngineArgs)
        arguments["model"] = start["model"]
        logging.getLogger("vllm").addHandler(ProgressLog(self._progress))
        self._progress("model", f"loading {start['model']}")
        # Statistics cost time every step, and this loop reads none.
        # The cache of processed images would take one it was shown by `encode` for one the engine has.
        engine_args = EngineArgs(**{"disable_log_stats": True, "mm_processor_cache_gb": 0, **arguments})
        self._engine = LLMEngine.from_engine_args(engine_args)
        self._tokens = Tokens(self._engine.get_tokenizer())
        answers, tasks = self._engine.collective_rpc("moescope_info"), self._engine.get_supported_tasks()
        described = introduction(self._engine.vllm_config, answers, self._tokens, tasks)
        self._stages, self._streams, self._refused = described["stages"], described["streams"], described["refused"]
        self._channel.send({"type": "ready", **described, "spool": str(self._spool)})

    # -- messages --------------------------------------------------------------------------------------------------------------------

    def _listen(self) -> None:
        """The reading thread. What cannot wait for the engine is done here."""
        try:
            for message in self._messages:
                if message.get("type") == "cancel":
                    self._cancel(message.get("id"))
                elif message.get("type") == "close":
                    break
                else:
                    self._work.put(message)
        except (ValueError, OSError):
            traceback.print_exc()
            self.leave(1)
        self.leave(0)

    def _cancel(self, id: Any) -> None:
        self._cancelled.add(id)
        running = self._running
        if running is not None and running[0] == id:
            running[1].set()

    def _serve(self) -> None:
        while True:
            message = self._work.get()
            id = message.get("id")
            try:
                with self._answering(id):
                    if message["type"] == "run":
                        self._run(message)
                    else:
                        self._channel.send({"type": "reply", "id": id, **self._reply(message)})
            except BrokenPipeError:
                self.leave(0)

    @contextlib.contextmanager
    def _answering(self, id: Any) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except CaptureError as error:
            self._send_error(id, error)
        except (KeyError, TypeError, ValueError) as error:
            traceback.print_exc()
            self._send_error(id, CaptureError("INVALID_ARGUMENT", f"not a message of this protocol: {type(error).__name__}: {error}"))
        except BaseException as error:  # noqa: BLE001
            # The engine itself: what it holds on the device is lost, and only a new process gets it back.
            traceback.print_exc()
            self._send_error(None, load_error(error))
            self.leave(1)

    def _reply(self, message: dict[str, Any]) -> dict[str, Any]:
        kind, tokens = message["type"], self._tokens
        if kind == "tokenize":
            lists = tokens.tokenize(message["texts"])
            return {"value": lists, "newTokens": tokens.new(id for ids in lists for id in ids)}
        if kind == "detokenize":
            return {"value": tokens.detokenize(message["tokens"]), "newTokens": tokens.new(message["tokens"])}
        if kind == "encode":
            from .encode import encode

            value = encode(self._engine, message)
            return {"value": value, "newTokens": tokens.new(value["tokens"])}
        raise CaptureError("INVALID_ARGUMENT", f'unknown message "{kind}"')

    def _run(self, message: dict[str, Any]) -> None:
        from .run import Run

        id, requests = message["id"], message["requests"]
        plan = parse_plan(message["plan"], len(requests))
        check_plan(plan, self._streams, self._refused)
        run = Run(self._engine, self._tokens, self._spool, self._stages, plan, id, self._channel.send)
        self._running = (id, run.cancelled)
        if id in self._cancelled:
            run.cancelled.set()
        try:
            if requests and not run.cancelled.is_set():
                prompts = [request["tokens"] for request in requests if request.get("tokens")]
                self._name(id, prompts)
                run.execute(requests)
        finally:
            self._running = None
            self._tidy(run)
        self._cancelled.discard(id)
        self._channel.send({"type": "end", "id": id, "cancelled": run.cancelled.is_set()})

    def _tidy(self, run: Any) -> None:
        """Folders of runs whose last file has been read; the present one's may still be needed."""
        self._runs = [past for past in self._runs if not past.discard_if_read()] + [run]

    def _name(self, id: int, prompts: list[list[int]]) -> None:
        new = self._tokens.new(token for prompt in prompts for token in prompt)
        if new:
            self._channel.send({"type": "steps", "id": id, "drawn": [], "finished": [], "processed": 0, "newTokens": new})

    def _progress(self, stage: str, text: str) -> None:
        self._channel.send({"type": "progress", "stage": stage, "text": text, "fraction": None})

    def _send_error(self, id: int | None, error: BaseException) -> None:
        with contextlib.suppress(BrokenPipeError):
            self._channel.send({"type": "error", "id": id, "error": wire(error)})


def check_arguments(arguments: dict[str, Any], known: Any) -> dict[str, Any]:
    """Names of vLLM's EngineArgs only. Raises INVALID_ARGUMENT with what was probably meant."""
    fields = set(known.__dataclass_fields__)
    for name in arguments:
        if name not in fields:
            near = difflib.get_close_matches(name, fields, n=1)
            raise CaptureError(
                "INVALID_ARGUMENT", f"vLLM has no engine argument {name}" + (f"; did you mean {near[0]}?" if near else "")
            )
    if int(arguments.get("data_parallel_size") or 1) > 1:
        raise CaptureError("INVALID_ARGUMENT", "data parallelism needs a server: start `vllm serve` with the plugin and attach to it")
    if isinstance(arguments.get("pooler_config"), dict):
        from vllm.config import PoolerConfig

        return {**arguments, "pooler_config": PoolerConfig(**arguments["pooler_config"])}
    return dict(arguments)


if __name__ == "__main__":
    Worker(Channel()).main()
