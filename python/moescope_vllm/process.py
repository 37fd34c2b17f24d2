"""What a process of vLLM that runs a part of the model knows of it."""

from __future__ import annotations

import logging
import os
from typing import Any

from .moe_layers import MoeLayer, moe_layers
from .moe_layers import refused_streams as refused_of_layers
from .recorder import Recorder
from .refusals import refusal, refused_streams
from .requests import Requests
from .self_check import Proof, SelfCheck
from .settings import settings
from .spool import Spool
from .taps import TAPS, Place

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
    moe = moe_layers(model, config)
    refused = refused_of_layers(moe) | refused_streams(config)
    streams = {stream for stream in settings().streams if stream not in refused} if why is None else set()
    parallel = config.parallel_config
    TAPS.delivers = get_tp_group().rank_in_group == 0
    TAPS.graph_tokens = graph_tokens(config)
    TAPS.data_parallel = parallel.data_parallel_rank if parallel.data_parallel_size > 1 else None
    places = mark(moe, streams, next(model.parameters()).device)
    proof = SelfCheck(runner, model, moe, streams).run(places) if streams else Proof()
    refused |= proof.refused
    TAPS.reset([place for place in places if place.stream not in proof.refused])
    stage = get_pp_group().rank_in_group
    _info.clear()
    _info.update(describe(model, moe, proof), refusal=why, refused=refused, stage=stage, delivers=TAPS.delivers)
    for stream, reason in ({"nothing": why} if why is not None else refused).items():
        logger.warning("moescope: %s can be captured: %s", stream if why is not None else f"no {stream}", reason)
    if not TAPS.delivers:
        return None
    rank = f"d{parallel.data_parallel_rank}p{stage}"
    scales = {layer.number: layer.scale for layer in moe}
    experts = max((layer.experts for layer in moe), default=0)
    spool = Spool(settings(), rank, lambda layers: [scales[layer] for layer in layers], experts)
    spool.start()
    requests = Requests(settings().spool, TAPS.layers, runner.device, config.speculative_config is not None, TAPS.data_parallel)
    return Recorder(requests, spool, runner.device, rank, why)


def mark(moe: list[MoeLayer], streams: set[str], device: Any) -> list[Place]:
    """Puts the MoE layers' taps. Everything else stays silent."""
    places: list[Place] = []

    def place(stream: str, layer: int, width: int, held: bool = False) -> Place | None:
        if stream not in streams:
            return None
        places.append(Place(stream, layer, width, device, held))
        return places[-1]

    for layer in moe:
        layer.mark(place)
    return places


def graph_tokens(config: Any) -> int:
    """Tokens of the largest CUDA graph; 0: none are recorded."""
    from vllm.config import CUDAGraphMode

    compilation = config.compilation_config
    if compilation.cudagraph_mode in (None, CUDAGraphMode.NONE) or config.model_config.enforce_eager:
        return 0
    return int(compilation.max_cudagraph_capture_size or 0)


def describe(model: Any, moe: list[MoeLayer], proof: Proof) -> dict[str, Any]:
    """What this process can say of its part of the model."""
    return {
        "pid": os.getpid(),
        "layers": TAPS.layers,
        "device": device_name(next(model.parameters()).device),
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
        "bytes": sum(parameter.nbytes for parameter in model.parameters()),
        "moe": describe_moe(moe, proof),
        "hidden": dict(proof.contracts),
        "layerClasses": dict(proof.classes),
        "written": sorted(f"{stream}.{layer}" for stream, layer in proof.written),
        "checkSeconds": proof.seconds,
    }


def describe_moe(moe: list[MoeLayer], proof: Proof) -> list[dict[str, Any]]:
    """One entry a layer."""
    return [
        {
            "layer": layer.number,
            "experts": layer.experts,
            "topK": layer.top_k,
            "zeroExperts": layer.zero_experts,
            "gating": proof.gating.get(layer.number, layer.gating),
        }
        for layer in moe
    ]


def device_name(device: Any) -> str | None:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else None


def info() -> dict[str, Any]:
    return _info
