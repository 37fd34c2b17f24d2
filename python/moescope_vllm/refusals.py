"""Ways of running vLLM in which rows could not be labelled rightly. They are refused, never guessed."""

from __future__ import annotations

from typing import Any

from .layout import missing_here
from .streams import HIDDEN_STATES, ROUTED, STREAMS


def refusal(config: Any) -> str | None:
    """config: vLLM's VllmConfig. Why nothing can be captured with it; None: everything can."""
    parallel = config.parallel_config
    missing = missing_here()
    if missing:
        return f"this vLLM is laid out in a way the plugin does not know: it has no {', '.join(missing)}"
    if getattr(config.speculative_config, "enable_adaptive_verification", False):
        return "with adaptive verification how many drafts a request has in a step is known on the device only; start vLLM without it"
    if getattr(config.model_config, "is_diffusion", False):
        return "a diffusion model computes each token many times, and none of its rows is the token's own"
    if getattr(parallel, "enable_dbo", False) or getattr(parallel, "use_ubatching", False):
        return "with dual batch overlap a step's rows are computed in two parts; start vLLM without --enable-dbo"
    if getattr(parallel, "prefill_context_parallel_size", 1) > 1:
        return "with prefill context parallelism a prompt's rows are spread over ranks; start vLLM without it"
    if getattr(parallel, "enable_elastic_ep", False):
        return "with elastic expert parallelism ranks come and go while the model runs; start vLLM without --enable-elastic-ep"
    if config.model_config.runner_type not in ("generate", "pooling"):
        return f'a model that vLLM runs as "{config.model_config.runner_type}" has no rows to capture'
    return None


def refused_streams(config: Any) -> dict[str, str]:
    """Streams that alone are not available, each with why."""
    refused: dict[str, str] = {}
    parallel, passes = config.parallel_config, config.compilation_config.pass_config
    if getattr(parallel, "use_sequence_parallel_moe", False):
        why = "with sequence-parallel MoE each rank routes a part of the tokens only"
        refused |= dict.fromkeys(ROUTED, why)
    if getattr(passes, "enable_sp", False):
        refused[HIDDEN_STATES] = "with sequence parallelism each rank holds a part of the tokens between layers only"
    if getattr(config.cache_config, "kv_sharing_fast_prefill", False):
        why = "with KV-sharing fast prefill the last layers do not see every token; start vLLM without --kv-sharing-fast-prefill"
        refused |= dict.fromkeys(STREAMS, why)
    return refused
