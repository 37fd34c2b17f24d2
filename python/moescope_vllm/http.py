"""Routes on `vllm serve`, below /v1 so that vLLM's own API key guards them. See docs/vllm-protocol.md."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse

from . import front
from .beat import last_beat
from .collector import Collector, RowsReady
from .errors import CaptureError, wire
from .introduction import introduction
from .layout import missing_here
from .plan import check_plan, parse_plan, whole
from .rows_file import read_token_ids
from .settings import settings, sweep
from .shelf import Shelf, Shelved
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
        self.shelf = Shelf(settings().spool)
        sweep()  # of servers that were killed
        self._info: dict[str, Any] | None = None
        self.tokens: Tokens
        self.stages = 1
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
            self._info = {**described, "proof": str(self.shelf.proof), "vision": takes_images(self.engine)}
        return self._info

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP_S)
            await asyncio.to_thread(self.shelf.expire)


async def info(server: Server, _request: Request) -> Response:
    return JSONResponse(await server.info())


async def create(server: Server, request: Request) -> Response:
    try:
        body = await request.json()
        samples, proof = whole(body["samples"], least=1), body.get("proof")
        plan = parse_plan(body["plan"], samples)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CaptureError("INVALID_ARGUMENT", f"not a capture: {type(error).__name__}: {error}") from error
    known = await server.info()
    check_plan(plan, known["streams"], known["refused"])
    shelved = server.shelf.create(plan, proof)
    return JSONResponse({"key": shelved.key, "local": shelved.local})


async def read(server: Server, request: Request) -> Response:
    shelved = server.shelf.find(request.path_params["key"])
    await server.info()
    if not server.shelf.claim(shelved):
        return JSONResponse({"error": {"code": "INVALID_ARGUMENT", "message": "this capture is being read"}}, status_code=409)
    return StreamingResponse(frames(server, shelved), media_type="application/x-moescope-rows")


async def delete(server: Server, request: Request) -> Response:
    server.shelf.delete(server.shelf.find(request.path_params["key"]))
    return Response(status_code=204)


async def encode_images(server: Server, request: Request) -> Response:
    return JSONResponse(await encode(server.engine, await fields(request, prompt=str, images=list)))


async def complete_images(server: Server, request: Request) -> Response:
    body = await fields(request, prompt=str, images=list, key=str, sample=int, maxTokens=int, sampling=dict)
    server.shelf.find(body["key"])
    return JSONResponse(await complete(server.engine, body, disconnected(request)))


async def fields(request: Request, **types: type) -> dict[str, Any]:
    """The body, with at least these members. Raises INVALID_ARGUMENT."""
    try:
        body = await request.json()
    except ValueError as error:
        raise CaptureError("INVALID_ARGUMENT", f"not JSON: {error}") from error
    for name, kind in types.items():
        if not isinstance(body, dict) or not isinstance(body.get(name), kind):
            raise CaptureError("INVALID_ARGUMENT", f"{name} is missing or no {kind.__name__}")
    if not all(isinstance(image, str) for image in body["images"]):
        raise CaptureError("INVALID_ARGUMENT", "images is a list of data URIs")
    return body


async def disconnected(request: Request) -> None:
    """Returns when the client has left. The body has been read: nothing else can come."""
    while (await request.receive())["type"] != "http.disconnect":
        pass


async def frames(server: Server, shelved: Shelved) -> AsyncIterator[bytes]:
    """Rows as they come. A client that goes away ends this at its next frame; the capture then waits for its expiry."""
    tokens = server.tokens.for_client()
    collector = Collector(shelved.folder, shelved.plan, server.stages, patience=RETRY_S)
    heard = time.time()
    try:
        while not collector.complete:
            found = await asyncio.to_thread(collector.poll)
            for item in found:
                if not isinstance(item, RowsReady):
                    yield frame({"type": "ended", **asdict(item)})
                    continue
                rows = {"type": "rows", "rows": item.rows, "newTokens": tokens.new(read_token_ids(item.path))}
                if shelved.local:
                    yield frame({**rows, "bytes": 0, "path": str(item.path)})
                else:
                    yield frame({**rows, "bytes": item.bytes})
                    async for piece in pieces(item.path):
                        yield piece
                    item.path.unlink(missing_ok=True)
            if found:
                heard = time.time()
            else:
                check_life(server.engine, collector, max(heard, last_beat(shelved.folder)))
                await asyncio.sleep(POLL_S)
        yield frame({"type": "end"})
        server.shelf.finish(shelved)
    except CaptureError as error:
        yield frame({"type": "error", "error": wire(error)})
        server.shelf.delete(shelved)
    finally:
        server.shelf.release(shelved)


def check_life(engine: Any, collector: Collector, heard: float) -> None:
    """Nobody is to wait for rows that cannot come any more. heard: the last sign of them. Raises CaptureError."""
    if getattr(engine, "errored", False):
        raise CaptureError("ENGINE_FAILED", "vLLM's engine has died; see the server's log")
    quiet = time.time() - heard
    if quiet > QUIET_S:
        open_samples = collector.open
        named = ", ".join(map(str, open_samples[:10])) + (", ..." if len(open_samples) > 10 else "")
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
            unknown = error.message.startswith("unknown capture")
            return JSONResponse({"error": error.wire()}, status_code=404 if unknown else 400)

    return answer


def add_routes(app: Any) -> None:
    front.install()
    app.add_route(f"{ROOT}/info", route(info), methods=["GET"])
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
