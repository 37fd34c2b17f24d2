"""Prompts with images on a server: vLLM's own routes take images in chats only, and a chat is another prompt."""

from __future__ import annotations

import asyncio
import inspect
import uuid
from collections.abc import Callable, Coroutine
from typing import Any

from .encode import prompt_of
from .errors import CaptureError
from .news import COMPLETE
from .plan import whole
from .sampling import ended, reason, sampling_params


def takes_images(engine: Any) -> bool:
    """Whether this vLLM can expand a prompt's images without putting them into the cache that its processes keep in step."""
    render = getattr(getattr(engine, "renderer", None), "render_cmpl_async", None)
    return bool(engine.vllm_config.model_config.is_multimodal_model) and (
        render is not None and "skip_mm_cache" in inspect.signature(render).parameters
    )


async def encode(engine: Any, body: dict[str, Any]) -> dict[str, Any]:
    """Tokens and media of a prompt that is not run."""
    rendered = await render(engine, body, "encode", skip_mm_cache=True)
    media = [
        {"kind": kind, "offset": place.offset, "length": place.length}
        for kind, places in (rendered.get("mm_placeholders") or {}).items()
        for place in places
    ]
    return {"tokens": list(rendered["prompt_token_ids"]), "media": sorted(media, key=lambda span: span["offset"])}


async def complete(engine: Any, body: dict[str, Any], gone: Callable[[], Coroutine[Any, Any, None]]) -> dict[str, Any]:
    """Runs a prompt as a sample of a capture. gone: ends when the client has left, and with it the request."""
    from vllm.sampling_params import RequestOutputKind

    sample = body["sample"]
    try:
        whole(sample)
        params = sampling_params(body, body["key"], sample, RequestOutputKind.FINAL_ONLY)
    except (TypeError, ValueError) as error:
        raise CaptureError("INVALID_ARGUMENT", f"sample {sample}: {error}") from error
    rendered = await render(engine, body, f"sample {sample}")

    async def last() -> Any:
        try:
            outputs = [output async for output in engine.generate(rendered, params, f"moescope-{uuid.uuid4().hex}")]
        except ValueError as error:
            raise CaptureError("INVALID_ARGUMENT", f"sample {sample}: {error}") from error
        return outputs[-1]

    running, left = asyncio.ensure_future(last()), asyncio.ensure_future(gone())
    try:
        await asyncio.wait({running, left}, return_when=asyncio.FIRST_COMPLETED)
        if not running.done():
            raise CaptureError("INVALID_ARGUMENT", "the client has left")
        completion = (await running).outputs[0]
    finally:
        running.cancel()  # vLLM takes that as an abort
        left.cancel()
    how = ended(completion)
    return {
        "tokens": list(completion.token_ids),
        "text": completion.text,
        "reason": reason(completion) if how == COMPLETE else how,
    }


async def render(engine: Any, body: dict[str, Any], what: str, **options: bool) -> Any:
    """A prompt as vLLM's engine takes it, images expanded. Raises INVALID_ARGUMENT, beginning with `what`, or CONTEXT_OVERFLOW."""
    if not takes_images(engine):
        why = "its model is not one for images, or its vLLM is older than 0.32"
        raise CaptureError("ENGINE_INCOMPATIBLE", f"this server takes no images: {why}")
    prompt = await asyncio.to_thread(prompt_of, body, what, inline=True)
    try:
        (rendered,) = await engine.renderer.render_cmpl_async([prompt], **options)
    except ValueError as error:
        raise CaptureError("INVALID_ARGUMENT", f"{what}: {error}") from error
    room, tokens = engine.vllm_config.model_config.max_model_len, len(rendered["prompt_token_ids"])
    needed = tokens + max(1, body.get("maxTokens", 0)) - 1
    if needed > room:
        raise CaptureError("CONTEXT_OVERFLOW", f"{what} needs {needed} tokens, the context has {room} (max_model_len)")
    return rendered
