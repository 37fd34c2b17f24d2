"""What a client is told first: the `ready` of a worker, the `info` of a server."""

from __future__ import annotations

from typing import Any

from . import PROTOCOL, __version__
from .errors import CaptureError
from .layout import TESTED
from .model_info import model_info, stage_infos, streams_of
from .tokens import Tokens

#: Those that a chat template may name, as transformers calls them.
SPECIAL_TOKENS = ("bos", "eos", "unk", "pad", "sep", "cls", "mask")


def introduction(config: Any, answers: list[dict[str, Any] | None], tokens: Tokens) -> dict[str, Any]:
    """config: vLLM's. answers: of `collective_rpc("moescope_info")`. Raises ENGINE_INCOMPATIBLE when nothing can be captured."""
    import vllm

    known = [answer for answer in answers if answer]
    if not known or len(known) < len(answers):
        raise CaptureError("ENGINE_INCOMPATIBLE", "vLLM did not load the plugin in all of its processes; does PYTHONPATH name it?")
    stages = stage_infos(known)
    refusal = next((stage["refusal"] for stage in stages if stage["refusal"]), None)
    if refusal:
        raise CaptureError("ENGINE_INCOMPATIBLE", refusal)
    template = getattr(tokens.tokenizer, "chat_template", None)
    named = template if isinstance(template, dict) else {}
    return {
        "protocol": PROTOCOL,
        "plugin": __version__,
        "vllm": vllm.__version__,
        "tested": vllm.__version__ in TESTED,
        "model": model_info(config, known),
        "contextSize": config.model_config.max_model_len,
        "stages": len(stages),
        "streams": streams_of(config, stages),
        "refused": {stream: why for stage in stages for stream, why in stage["refused"].items()},
        "chatTemplate": template if isinstance(template, str) else named.get("default"),
        "namedTemplates": {name: text for name, text in named.items() if name != "default"},
        "specialTokens": {name: tokens.special(name) for name in SPECIAL_TOKENS},
        "devices": [answer["device"] for answer in known if answer["device"]],
        "vision": bool(config.model_config.is_multimodal_model),
    }
