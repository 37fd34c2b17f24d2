"""What a client is told first: the `ready` of a worker, the `info` of a server."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from . import PROTOCOL, __version__
from .errors import CaptureError
from .layout import TESTED, tested
from .model_info import model_info, refused_of, stage_infos, streams_of
from .purpose import purpose_of
from .tokens import Tokens

#: Those that a chat template may name, as transformers calls them.
SPECIAL_TOKENS = ("bos", "eos", "unk", "pad", "sep", "cls", "mask")


def introduction(config: Any, answers: list[dict[str, Any] | None], tokens: Tokens, tasks: Iterable[str]) -> dict[str, Any]:
    """config: vLLM's. answers: of `collective_rpc("moescope_info")`. tasks: that vLLM says it can do. Raises ENGINE_INCOMPATIBLE when
    nothing can be captured."""
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
        "tested": tested(vllm.__version__) is not None,
        "newestTested": max(TESTED, key=lambda version: tuple(map(int, version.split(".")))),
        "model": model_info(config, known),
        "contextSize": config.model_config.max_model_len,
        **purpose_of(config.model_config, tasks),
        "stages": len(stages),
        "streams": streams_of(config, stages),
        "refused": refused_of(stages),
        "chatTemplate": template if isinstance(template, str) else named.get("default"),
        "namedTemplates": {name: text for name, text in named.items() if name != "default"},
        "specialTokens": {name: tokens.special(name) for name in SPECIAL_TOKENS},
        "devices": [answer["device"] for answer in known if answer["device"]],
        "vision": bool(config.model_config.is_multimodal_model),
    }
