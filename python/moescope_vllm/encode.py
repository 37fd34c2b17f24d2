"""Prompts with images, and the tokens that vLLM makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import CaptureError
from .images import load_images


def prompt_of(request: Mapping[str, Any], what: str, inline: bool = False) -> dict[str, Any]:
    """A request's prompt as vLLM takes it. inline: images as data URIs only. Raises INVALID_ARGUMENT, beginning with `what`."""
    tokens, text = request.get("tokens"), request.get("prompt")
    if (tokens is None) == (text is None):
        raise CaptureError("INVALID_ARGUMENT", f"{what}: either tokens or a prompt")
    if tokens is not None and not tokens:
        raise CaptureError("INVALID_ARGUMENT", f"{what}: a prompt needs at least one token")
    prompt: dict[str, Any] = {"prompt": text} if tokens is None else {"prompt_token_ids": list(tokens)}
    images = request.get("images") or []
    if images:
        prompt["multi_modal_data"] = {"image": load_images(images, inline)}
    return prompt


def tokens_and_media(request: Any) -> dict[str, Any]:
    """request: vLLM's, with its placeholders expanded."""
    media = [
        {"kind": feature.modality, "offset": feature.mm_position.offset, "length": feature.mm_position.length}
        for feature in request.mm_features or ()
    ]
    return {"tokens": list(request.prompt_token_ids), "media": media}


def encode(engine: Any, request: Mapping[str, Any]) -> dict[str, Any]:
    """Tokens and media of a prompt that is not run."""
    from vllm.sampling_params import SamplingParams

    prompt, params = prompt_of(request, "encode"), SamplingParams(max_tokens=1)
    try:
        return tokens_and_media(
            engine.input_processor.process_inputs("encode", prompt, params, supported_tasks=engine.get_supported_tasks())
        )
    except ValueError as error:
        too_long = "max_model_len" in str(error) or "maximum model length" in str(error)
        raise CaptureError("CONTEXT_OVERFLOW" if too_long else "INVALID_ARGUMENT", str(error)) from error


def settle(engine: Any) -> None:
    """Steps an idle LLMEngine until it has told its processes which requests have ended: it does so with the next step only."""
    core = engine.engine_core.engine_core
    while core.scheduler.has_requests() or getattr(core, "batch_queue", None):
        engine.step()
