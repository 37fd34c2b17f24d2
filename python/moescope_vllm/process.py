"""What a process of vLLM that runs a part of the model knows of it."""

from __future__ import annotations

import logging
import os
from typing import Any

from . import gating
from .attach import attach, moe_runners
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
    TAPS.reset(attach(model, config, streams))
    TAPS.delivers = get_tp_group().rank_in_group == 0
    TAPS.graph_tokens = graph_tokens(config)
    parallel = config.parallel_config
    TAPS.data_parallel = parallel.data_parallel_rank if parallel.data_parallel_size > 1 else None
    runners = {runner.layer_id: runner for runner in moe_runners(config)} if streams & ROUTED else {}
    if runners and any(stream not in TAPS.layers for stream in (EXPERT_IDS, EXPERT_WEIGHTS) if stream in streams):
        refused |= dict.fromkeys((EXPERT_IDS, EXPERT_WEIGHTS), "this model's MoE kernel chooses experts inside itself")
    stage = get_pp_group().rank_in_group
    _info.clear()
    _info.update(describe(config, model, runners), refusal=why, refused=refused, stage=stage, delivers=TAPS.delivers)
    if why is not None:
        logger.warning("moescope: nothing can be captured: %s", why)
    if not TAPS.delivers:
        return None
    rank = f"d{parallel.data_parallel_rank}p{stage}"
    spool = Spool(settings(), rank, lambda layers: [runners[layer].routed_scaling_factor for layer in layers])
    spool.start()
    requests = Requests(settings().spool, TAPS.layers, runner.device)
    return Recorder(requests, spool, runner.device, rank, why)


def graph_tokens(config: Any) -> int:
    """Tokens of the largest CUDA graph; 0: none are recorded."""
    from vllm.config import CUDAGraphMode

    compilation = config.compilation_config
    if compilation.cudagraph_mode in (None, CUDAGraphMode.NONE) or config.model_config.enforce_eager:
        return 0
    return int(compilation.max_cudagraph_capture_size or 0)


def describe(config: Any, model: Any, runners: dict[int, Any]) -> dict[str, Any]:
    """What this process can say of its part of the model."""
    first = next(iter(runners.values()), None)
    return {
        "pid": os.getpid(),
        "layers": TAPS.layers,
        "device": device_name(next(model.parameters()).device),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bytes": sum(parameter.nbytes for parameter in model.parameters()),
        "moe": None
        if first is None
        else {
            "layers": sorted(runners),
            "experts": first.moe_config.num_logical_experts,
            "topK": first.moe_config.experts_per_token,
            "gating": gating.of(first),
        },
    }


def device_name(device: Any) -> str | None:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


def info() -> dict[str, Any]:
    return _info
