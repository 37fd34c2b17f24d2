"""What the routes of `vllm serve` do with a request that is captured, before it reaches the engine."""

from __future__ import annotations

import contextlib
import functools
import importlib
from typing import Any

from .arguments import KEY_ARG, SAMPLE_ARG, is_key, key_in, sample_in
from .collector import write_refusal
from .layout import missing_here
from .settings import settings

#: Requests that may ask for beam search.
BEAM_SEARCH = (
    ("vllm.entrypoints.openai.completion.protocol", "CompletionRequest"),
    ("vllm.entrypoints.openai.chat_completion.protocol", "ChatCompletionRequest"),
)

_installed = False


def install() -> None:
    """Once a process, where routes are added."""
    global _installed
    if _installed:
        return
    _installed = True
    if missing_here(served=True):
        return  # `http.py` says so to who asks; the server itself goes on
    for module, name in BEAM_SEARCH:
        refuse_beam_search(getattr(importlib.import_module(module), name))
    let_pooling_be_captured()


def refuse_beam_search(cls: Any) -> None:
    """vLLM makes many short requests of one beam search and tells none of them what it was asked with: no row of them would come."""
    original = cls.to_beam_search_params

    @functools.wraps(original)
    def to_beam_search_params(self: Any, *args: Any, **kwargs: Any) -> Any:
        named = getattr(self, "vllm_xargs", None) or {}
        if KEY_ARG in named:
            why = "a beam search cannot be captured: its beams are requests of their own, which branch and end by the way; ask for `n` samples"
            refuse(named, why)
            raise ValueError(why)  # vLLM's routes answer with status 400
        return original(self, *args, **kwargs)

    cls.to_beam_search_params = to_beam_search_params


def refuse(named: dict[str, Any], why: str) -> None:
    """Ends the sample that will not come."""
    key = key_in(named)
    with contextlib.suppress(ValueError):  # a number of no sample: nobody waits for it
        if is_key(key):
            write_refusal(settings().spool / key, sample_in(named), why)


def let_pooling_be_captured() -> None:
    """`vllm_xargs` in requests to vLLM's routes of pooling models (`/v1/embeddings`, `/pooling`, ...), which have none of their own."""
    from vllm.entrypoints.pooling.base.serving import PoolingBaseServing
    from vllm.pooling_params import PoolingParams

    original = PoolingBaseServing._init_ctx

    @functools.wraps(original)
    async def _init_ctx(self: Any, *args: Any, **kwargs: Any) -> Any:
        context = await original(self, *args, **kwargs)
        named = getattr(context.request, "vllm_xargs", None)
        if isinstance(named, dict) and KEY_ARG in named:
            if not isinstance(context.pooling_params, PoolingParams):
                why = "a request of several prompts cannot be captured; send each on its own"
                refuse(named, why)
                raise ValueError(why)  # vLLM's routes answer with status 400
            capture = {KEY_ARG: named[KEY_ARG], SAMPLE_ARG: named.get(SAMPLE_ARG, 0)}
            context.pooling_params.extra_kwargs = {**(context.pooling_params.extra_kwargs or {}), **capture}
        return context

    PoolingBaseServing._init_ctx = _init_ctx
