"""What a process of vLLM that runs a part of the model knows of it."""

from __future__ import annotations

import logging
import os
from typing import Any

from .attach import attach
from .moe_layers import MoeLayer, is_transformers_backend, moe_layers, moe_runners
from .recorder import Recorder
from .refusals import refusal, refused_streams
from .requests import Requests
from .settings import settings
from .spool import Spool
from .streams import EXPERT_IDS, EXPERT_WEIGHTS, ROUTED
from .taps import TAPS

logger = logging.getLogger("vllm.moescope")

#: Tokens the scheduler of this process has sent through the model.
scheduled_tokens = 0

_info: dict[str, Any] = {}


def start(runner: Any) -> Recorder | None:
    """A model has been loaded: tap it. Returns what follows its steps, where this process hands rows over."""
    from vllm.distributed import get_pp_group, get_tp_group

    config = runner.vllm_config
    model = runner.get_model() if hasattr(runner, "get_model") else runner.model
    why = refusal(config)
    refused = refused_streams(config)
    streams = {stream for stream in settings().streams if stream not in refused} if why is None else set()
    moe = {layer.number: layer for layer in moe_layers(model, config)} if streams & ROUTED else {}
    TAPS.reset(attach(model, config, moe.values(), streams))
    TAPS.delivers = get_tp_group().rank_in_group == 0
    TAPS.graph_tokens = graph_tokens(config)
    parallel = config.parallel_config
    TAPS.data_parallel = parallel.data_parallel_rank if parallel.data_parallel_size > 1 else None
    if is_transformers_backend(model) and moe_runners(config):
        refused |= dict.fromkeys(ROUTED, "vLLM runs this model with transformers' modules, whose router logits it does not see")
    if moe and any(stream not in TAPS.layers for stream in (EXPERT_IDS, EXPERT_WEIGHTS) if stream in streams):
        refused |= dict.fromkeys((EXPERT_IDS, EXPERT_WEIGHTS), "this model's MoE kernel chooses experts inside itself")
    stage = get_pp_group().rank_in_group
    _info.clear()
    _info.update(describe(model, list(moe.values())), refusal=why, refused=refused, stage=stage, delivers=TAPS.delivers)
    if why is not None:
        logger.warning("moescope: nothing can be captured: %s", why)
    if not TAPS.delivers:
        return None
    rank = f"d{parallel.data_parallel_rank}p{stage}"
    spool = Spool(settings(), rank, lambda layers: [moe[layer].scale for layer in layers])
    spool.start()
    requests = Requests(settings().spool, TAPS.layers, runner.device, config.speculative_config is not None, TAPS.data_parallel)
    return Recorder(requests, spool, runner.device, rank, why)


def graph_tokens(config: Any) -> int:
    """Tokens of the largest CUDA graph; 0: none are recorded."""
    from vllm.config import CUDAGraphMode

    compilation = config.compilation_config
    if compilation.cudagraph_mode in (None, CUDAGraphMode.NONE) or config.model_config.enforce_eager:
        return 0
    return int(compilation.max_cudagraph_capture_size or 0)


def describe(model: Any, moe: list[MoeLayer]) -> dict[str, Any]:
    """What this process can say of its part of the model."""
    return {
        "pid": os.getpid(),
        "layers": TAPS.layers,
        "device": device_name(next(model.parameters()).device),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bytes": sum(parameter.nbytes for parameter in model.parameters()),
        "moe": {"layers": [layer.number for layer in moe], "experts": moe[0].experts, "topK": moe[0].top_k, "gating": moe[0].gating}
        if moe
        else None,
    }


def device_name(device: Any) -> str | None:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


def info() -> dict[str, Any]:
    return _info
