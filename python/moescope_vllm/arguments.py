"""How a request says that it is captured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Keys of `SamplingParams.extra_args` and `PoolingParams.extra_kwargs`; over HTTP of `vllm_xargs`.
KEY_ARG, SAMPLE_ARG = "moescope", "moescope_sample"


def arguments_of(request: Any) -> Mapping[str, Any] | None:
    """request: anything of vLLM's with `sampling_params` and `pooling_params`, one of which is None. None: it is not captured."""
    if request.sampling_params is not None:
        found = request.sampling_params.extra_args
    else:
        found = getattr(request.pooling_params, "extra_kwargs", None)
    return found if found and KEY_ARG in found else None
