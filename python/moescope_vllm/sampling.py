"""A request's sampling options as vLLM's, and vLLM's word for why a text ended as ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .arguments import KEY_ARG, SAMPLE_ARG
from .news import ABORTED, COMPLETE, FAILED
from .plan import whole


def sampling_params(request: Mapping[str, Any], key: str, sample: int, output_kind: Any) -> Any:
    """request: {maxTokens, sampling}. key, sample: of the capture its rows belong to."""
    from vllm.sampling_params import SamplingParams

    limit, sampling = whole(request.get("maxTokens", 0)), request.get("sampling") or {}
    return SamplingParams(
        max_tokens=max(1, limit),  # the engine always draws one; for a prompt alone it is thrown away
        temperature=sampling.get("temperature", 0.0),
        top_k=sampling.get("topK", 0),
        top_p=sampling.get("topP", 1.0),
        min_p=sampling.get("minP", 0.0),
        seed=sampling.get("seed"),
        stop=list(sampling.get("stop") or []),
        ignore_eos=bool(sampling.get("ignoreEos", False)),
        detokenize=limit > 0,
        output_kind=output_kind,
        extra_args={KEY_ARG: key, SAMPLE_ARG: sample},
    )


def pooling_params(task: str, key: str, sample: int) -> Any:
    """The prompt's vector as the model's own configuration makes it. task: vLLM's."""
    from vllm.pooling_params import PoolingParams

    return PoolingParams(task=task, extra_kwargs={KEY_ARG: key, SAMPLE_ARG: sample})


def reason(completion: Any) -> str:
    """Of a text that is complete: `length`, `eos` or `stop`. vLLM says "stop" for both, and names the string or token that stopped it."""
    if completion.finish_reason == "length":
        return "length"
    return "stop" if completion.finish_reason == "repetition" or isinstance(completion.stop_reason, str) else "eos"


def ended(completion: Any) -> str:
    """How a request ended; see `news.py`."""
    if completion.finish_reason in ("length", "stop", "repetition"):
        return COMPLETE
    return ABORTED if completion.finish_reason == "abort" else FAILED
