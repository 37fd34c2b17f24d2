"""How a request says that it is captured. What it says comes from a client, and may be anything."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .errors import shown

#: Keys of `SamplingParams.extra_args` and `PoolingParams.extra_kwargs`; over HTTP of `vllm_xargs`.
KEY_ARG, SAMPLE_ARG = "moescope", "moescope_sample"

_KEY = re.compile(r"[0-9A-Za-z]{1,64}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,10}", re.ASCII)


def arguments_of(request: Any) -> Mapping[str, Any] | None:
    """request: anything of vLLM's with `sampling_params` and `pooling_params`, one of which is None. None: it is not captured."""
    if request.sampling_params is not None:
        found = request.sampling_params.extra_args
    else:
        found = getattr(request.pooling_params, "extra_kwargs", None)
    return found if found and KEY_ARG in found else None


def is_key(key: Any) -> bool:
    """Whether it can name a capture's folder, and nothing else."""
    return isinstance(key, str) and _KEY.fullmatch(key) is not None


def key_in(arguments: Mapping[str, Any]) -> str:
    """The capture's key; empty where it can be none."""
    key = arguments.get(KEY_ARG)
    return key if is_key(key) else ""


def sample_in(arguments: Mapping[str, Any]) -> int:
    """The sample's number, 0 where none is given. Raises ValueError."""
    given = arguments.get(SAMPLE_ARG, 0)
    if isinstance(given, str) and _NUMBER.fullmatch(given):
        return int(given)
    if isinstance(given, bool) or not isinstance(given, int) or not 0 <= given < 1 << 31:
        raise ValueError(f"{SAMPLE_ARG} is {shown(given)}, which is no number of a sample")
    return given
