"""Prompts with images, and the tokens that vLLM makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import CaptureError
from .images import load_image


def prompt_of(request: Mapping[str, Any]) -> dict[str, Any]:
    """Text, and images where there are any, as vLLM takes them."""
    prompt: dict[str, Any] = {"prompt": request["prompt"]}
    if images := request.get("images"):
        prompt["multi_modal_data"] = {"image": [load_image(image) for image in images]}
    return prompt


def encode(engine: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """{tokens, media}: what the prompt is to the model, and where in it the images' tokens lie. The engine must be idle.

    The request is queued, read and taken back before a step: what processes prompts has another interface in each version of vLLM, the
    queue has not."""
    from vllm.sampling_params import SamplingParams

    try:
        name = engine.add_request("encode", prompt_of(request), SamplingParams(max_tokens=1))
    except ValueError as error:
        raise CaptureError("INVALID_ARGUMENT", f"the prompt: {error}") from error
    try:
        queued = engine.engine_core.engine_core.scheduler.requests[name]
        media = [
            {"kind": feature.modality, "offset": feature.mm_position.offset, "length": feature.mm_position.length}
            for feature in queued.mm_features or ()
        ]
        return {"tokens": list(queued.prompt_token_ids), "media": media}
    finally:
        engine.abort_request([name], internal=True)
        settle(engine)


def settle(engine: Any) -> None:
    """Steps an idle LLMEngine until it has told its processes which requests have ended: it does so with the next step only."""
    core = engine.engine_core.engine_core
    while core.scheduler.has_requests() or getattr(core, "batch_queue", None):
        engine.step()
