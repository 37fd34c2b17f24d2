"""A request's sampling options as vLLM's, and vLLM's word for why a text ended as ours."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .arguments import KEY_ARG, SAMPLE_ARG
from .errors import shown
from .news import ABORTED, COMPLETE, FAILED
from .plan import member, whole

#: Stop strings are looked for in every step.
MOST_STOPS, LONGEST_STOP = 64, 1024


def sampling_params(request: Mapping[str, Any], key: str, sample: int, output_kind: Any) -> Any:
    """request: {maxTokens, sampling, logprobs?}. key, sample: of the capture its rows belong to."""
    from vllm.sampling_params import SamplingParams

    limit, sampling = whole(request.get("maxTokens", 0)), request.get("sampling") or {}
    return SamplingParams(
        max_tokens=max(1, limit),  # the engine always draws one; for a prompt alone it is thrown away
        **options_of(sampling),
        detokenize=limit > 0,
        # 0: of the token that was drawn, and of no others.
        logprobs=0 if wants(request, "generated") else None,
        prompt_logprobs=0 if wants(request, "prompt") else None,
        output_kind=output_kind,
        extra_args={KEY_ARG: key, SAMPLE_ARG: sample},
    )


def wants(request: Mapping[str, Any], which: str) -> bool:
    """Whether a request asks for log-probabilities of its `generated` tokens or its `prompt`. Raises ValueError."""
    return member(member(request, "logprobs", {}), which, False) is True


def options_of(sampling: Any) -> dict[str, Any]:
    """A message's options by vLLM's names. vLLM looks at few of their types, and what is wrong with one would end its engine. Raises
    ValueError."""

    def option(name: str, default: Any, right: Any, what: str) -> Any:
        value = member(sampling, name, default)
        if value is not default and not right(value):
            raise ValueError(f"{name} is {shown(value)}, not {what}")
        return value

    def whole_within(low: int, high: int) -> Any:
        return lambda value: type(value) is int and low <= value <= high

    def number_within(low: float, high: float) -> Any:
        return lambda value: type(value) in (int, float) and low <= value <= high  # what is no number is in no range

    def texts(value: Any) -> bool:
        return isinstance(value, list) and len(value) <= MOST_STOPS and all(isinstance(stop, str) and 0 < len(stop) <= LONGEST_STOP for stop in value)

    return {
        "temperature": option("temperature", 0.0, number_within(0, 100), "a number from 0 to 100"),
        "top_k": option("topK", 0, whole_within(-1, (1 << 31) - 1), "a whole number"),
        "top_p": option("topP", 1.0, number_within(0, 1), "a number from 0 to 1"),
        "min_p": option("minP", 0.0, number_within(0, 1), "a number from 0 to 1"),
        "seed": option("seed", None, whole_within(-(1 << 63), (1 << 63) - 1), "a whole number of 64 bits"),
        "stop": option("stop", [], texts, f"a list of at most {MOST_STOPS} texts of 1 to {LONGEST_STOP} characters"),
        "ignore_eos": option("ignoreEos", False, lambda value: isinstance(value, bool), "true or false"),
    }


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
