"""Routes on `vllm serve`, below /v1 so that vLLM's own API key guards them. See docs/vllm-protocol.md."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from . import front
from .beat import last_beat
from .body import IMAGES_BYTES, PLAN_BYTES, TEXTS_BYTES, body_of, field, texts_in
from .collector import Collector, RowsReady
from .errors import CaptureError, CaptureIsRead, wire
from .images import MOST_IMAGES
from .introduction import introduction
from .layout import missing_here
from .near import hand_over
from .plan import Plan, check_plan, parse_plan, whole
from .rows_file import read_token_ids
from .settings import settings, sweep
from .captures import Captures, ServedCapture
from .tokens import Tokens
from .vision import complete, encode, takes_images

logger = logging.getLogger("vllm.moescope")

ROOT = "/v1/moescope"
#: How often (s) a stream looks for new rows, and the server for captures that have expired.
POLL_S, SWEEP_S = 0.02, 30
#: A capture whose samples have ended but for aborted ones waits so long (s) for a client that sends them again.
RETRY_S = 10.0
#: A capture of which the engine has held no request for so long (s) is over, read or not: its client is gone, or never asked.
QUIET_S = 600.0
#: Bytes of a file sent at once.
PIECE = 1 << 20

Handler = Callable[["Server", Request], Awaitable[Response]]


class Server:
    """The state of one API server process, made with the first request to it."""

    def __init__(self, engine: Any) -> None:
        self.engine = engine
        self.captures = Captures(settings().spool)
        self._info: dict[str, Any] | None = None
        self.tokens: Tokens
        self.stages = 1
        self._tokenizing = asyncio.Lock()
        self._tokenizer: Tokens | None = None
        self._sweeper = asyncio.get_running_loop().create_task(self._sweep())

    async def info(self) -> dict[str, Any]:
        """Raises ENGINE_INCOMPATIBLE when nothing can be captured here."""
        if self._info is None:
            missing = missing_here(served=True)
            if missing:
                raise CaptureError("ENGINE_INCOMPATIBLE", f"this vLLM's server is laid out in an unknown way: no {', '.join(missing)}")
            tokenizer = self.engine.get_tokenizer()
            self.tokens = Tokens(await tokenizer if asyncio.iscoroutine(tokenizer) else tokenizer)
            answers = await self.engine.collective_rpc("moescope_info")
            described = introduction(self.engine.vllm_config, answers, self.tokens, await self.engine.get_supported_tasks())
            self.stages = described["stages"]
            self._info = {**described, "spool": str(settings().spool.resolve()), "vision": takes_images(self.engine)}
        return self._info

    async def tokenize(self, texts: list[dict[str, Any]]) -> list[list[int]]:
        """With a tokenizer of its own, one list after the other: a tokenizer that threads share may refuse ("Already borrowed")."""
        async with self._tokenizing:
            if self._tokenizer is None:
                self._tokenizer = await asyncio.to_thread(self.tokens.copied)
            return await asyncio.to_thread(self._tokenizer.tokenize, texts)

    async def _sweep(self) -> None:
        await asyncio.to_thread(sweep)  # of servers that were killed
        while True:
            await asyncio.sleep(SWEEP_S)
            try:
                await asyncio.to_thread(self.captures.expire)
            except Exception:
                logger.exception("moescope: captures that have expired cannot be removed; trying again")


async def info(server: Server, _request: Request) -> Response:
    return JSONResponse(await server.info())


async def create(server: Server, request: Request) -> Response:
    body = await body_of(request, PLAN_BYTES)
    plan = await asyncio.to_thread(plan_in, body)
    known = await server.info()
    check_plan(plan, known["streams"], known["refused"])
    served = await asyncio.to_thread(server.captures.create, plan, field(body, "near", dict, {}))
    return JSONResponse({"key": served.key, "local": served.local is not None})


def plan_in(body: dict[str, Any]) -> Plan:
    """Of the message that makes a capture. Raises CaptureError."""
    try:
        samples = whole(body.get("samples"), least=1)
    except ValueError as error:
        raise CaptureError("INVALID_ARGUMENT", f"samples: {error}") from error
    return parse_plan(body.get("plan"), samples)


async def read(server: Server, request: Request) -> Response:
    served = await asyncio.to_thread(server.captures.find, request.path_params["key"])
    await server.info()
    if not server.captures.claim(served):
        raise CaptureIsRead()
    return StreamingResponse(frames(server, served), media_type="application/x-moescope-rows")


async def delete(server: Server, request: Request) -> Response:
    server.captures.delete(server.captures.folder(request.path_params["key"]))
    return Response(status_code=204)


async def tokenize(server: Server, request: Request) -> Response:
    """vLLM's own route takes one text."""
    texts = texts_in(await body_of(request, TEXTS_BYTES))
    await server.info()
    return JSONResponse({"tokens": await server.tokenize(texts)})


async def encode_images(server: Server, request: Request) -> Response:
    body = await prompt_in(request)
    with refused_by_vllm():
        return JSONResponse(await encode(server.engine, body))


async def complete_images(server: Server, request: Request) -> Response:
    body = await prompt_in(request)
    body |= {"key": field(body, "key", str), "sample": field(body, "sample", int)}
    body |= {"maxTokens": field(body, "maxTokens", int), "sampling": field(body, "sampling", dict)}
    server.captures.folder(body["key"])
    with refused_by_vllm():
        return JSONResponse(await complete(server.engine, body, functools.partial(disconnected, request)))


@contextlib.contextmanager
def refused_by_vllm() -> Iterator[None]:
    """What vLLM says of a prompt that it does not take is the client's to mend. Early versions say it with a ValueError."""
    try:
        yield
    except client_errors() as error:
        raise CaptureError("INVALID_ARGUMENT", str(error)) from error


def client_errors() -> tuple[type[Exception], ...]:
    try:
        from vllm.exceptions import VLLMClientError
    except ImportError:
        return (ValueError,)
    return (ValueError, VLLMClientError)


async def prompt_in(request: Request) -> dict[str, Any]:
    """The message, with a prompt and its images. Raises CaptureError."""
    body = await body_of(request, IMAGES_BYTES)
    prompt, images = field(body, "prompt", str), field(body, "images", list)
    if len(images) > MOST_IMAGES or not all(isinstance(image, str) for image in images):
        raise CaptureError("INVALID_ARGUMENT", f"images is a list of at most {MOST_IMAGES} data URIs")
    return {**body, "prompt": prompt, "images": images}


async def disconnected(request: Request) -> None:
    """Returns when the client has left. The body has been read: nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def frames(server: Server, served: ServedCapture) -> AsyncIterator[bytes]:
    """Rows as they come. A client that goes away ends this at its next frame; the capture then waits for its expiry."""
    tokens = server.tokens.for_client()
    collector = Collector(served.folder, served.plan, server.stages, patience=RETRY_S)
    heard = time.time()
    try:
        while not collector.complete:
            found = await asyncio.to_thread(collector.poll)
            for item in found:
                if not isinstance(item, RowsReady):
                    yield frame({"type": "ended", **asdict(item)})
                    continue
                rows = {"type": "rows", "rows": item.rows, "newTokens": tokens.new(read_token_ids(item.path))}
                if served.local is not None:
                    yield frame({**rows, "bytes": 0, "name": hand_over(item.path, served.local)})
                else:
                    yield frame({**rows, "bytes": item.bytes})
                    async for piece in pieces(item.path):
                        yield piece
                    item.path.unlink(missing_ok=True)
            if found:
                heard = time.time()
            else:
                check_life(server.engine, collector, max(heard, last_beat(served.folder)))
                await asyncio.sleep(POLL_S)
        yield frame({"type": "end"})
        server.captures.finish(served)
    except CaptureError as error:
        yield frame({"type": "error", "error": wire(error)})
        server.captures.delete(served.folder)
    except Exception as error:
        logger.exception("moescope: capture %s cannot be read", served.key)
        yield frame({"type": "error", "error": wire(error)})
        server.captures.delete(served.folder)
    finally:
        server.captures.release(served)


def check_life(engine: Any, collector: Collector, heard: float) -> None:
    """Nobody is to wait for rows that cannot come any more. heard: the last sign of them. Raises CaptureError."""
    if getattr(engine, "errored", False):
        raise CaptureError("ENGINE_FAILED", "vLLM's engine has died; see the server's log")
    quiet = time.time() - heard
    if quiet > QUIET_S:
        first = list(itertools.islice(collector.open, 11))
        named = ", ".join(map(str, first[:10])) + (", ..." if len(first) > 10 else "")
        raise CaptureError(
            "INVALID_ARGUMENT",
            f"the engine has held no request of this capture for {quiet:.0f} s; samples that were never asked for: {named}",
        )


async def pieces(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, PIECE):
            yield piece


def frame(message: dict[str, Any]) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def route(handler: Handler) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        try:
            state = request.app.state
            if getattr(state, "engine_client", None) is None:
                raise CaptureError("ENGINE_UNAVAILABLE", "this server has no engine")
            if not hasattr(state, "moescope"):
                state.moescope = Server(state.engine_client)
            return await handler(state.moescope, request)
        except CaptureError as error:
            return JSONResponse({"error": error.wire()}, status_code=error.status)
        except Exception as error:
            logger.exception("moescope: %s %s failed", request.method, request.url.path)
            return JSONResponse({"error": wire(error)}, status_code=500)

    return answer


def add_routes(app: Any) -> None:
    front.install()
    app.add_route(f"{ROOT}/info", route(info), methods=["GET"])
    app.add_route(f"{ROOT}/tokenize", route(tokenize), methods=["POST"])
    app.add_route(f"{ROOT}/encode", route(encode_images), methods=["POST"])
    app.add_route(f"{ROOT}/completions", route(complete_images), methods=["POST"])
    app.add_route(f"{ROOT}/captures", route(create), methods=["POST"])
    app.add_route(f"{ROOT}/captures/{{key}}", route(read), methods=["GET"])
    app.add_route(f"{ROOT}/captures/{{key}}", route(delete), methods=["DELETE"])


class Endpoint:
    """For vLLM 0.32, which finds it through its entry point when VLLM_PLUGINS names `moescope`."""

    name = "moescope"
    required_tasks = None

    def attach_router(self, app: Any) -> None:
        add_routes(app)

    async def init_state(self, engine_client: Any, state: Any, args: Any) -> None:
        """Nothing to do: routes take the engine from the application's state."""


class Middleware:
    """For vLLM 0.25 to 0.31: `--middleware moescope_vllm.http.Middleware`. It adds the routes to the application it is put around, and
    otherwise lets everything through, so that vLLM's own API key check comes before them."""

    def __init__(self, app: Any) -> None:
        self._next = app
        self._added = False

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if not self._added and "app" in scope:
            self._added = True
            add_routes(scope["app"])
        await self._next(scope, receive, send)
