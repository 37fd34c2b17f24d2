"""What the TypeScript side wants to know of a model: its `ModelInfo`, from the configuration and from what vLLM built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from .moe_layers import several_sizes
from .streams import ROUTED


def stage_infos(answers: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of `collective_rpc("moescope_info")`: the processes that deliver rows, by pipeline stage."""
    return sorted((answer for answer in answers if answer["delivers"]), key=lambda answer: answer["stage"])


def refused_of(stages: list[Mapping[str, Any]]) -> dict[str, str]:
    """Streams that not every stage has, each with why."""
    refused = {stream: why for stage in stages for stream, why in stage["refused"].items()}
    sizes = {(layer["experts"], layer["topK"]) for stage in stages for layer in stage["moe"]}
    return refused | (dict.fromkeys(ROUTED, several_sizes(sizes)) if len(sizes) > 1 else {})


def streams_of(config: Any, stages: list[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """stream -> {"layers", "width"}, all stages together; without what one of them refuses."""
    moe = moe_of(config, stages)
    widths = {"hidden_states": config.model_config.get_hidden_size()}
    if moe:
        widths |= {"router_logits": moe["experts"], "expert_ids": moe["topK"], "expert_weights": moe["topK"]}
    layers: dict[str, list[int]] = {}
    refused = refused_of(stages)
    for stage in stages:
        for stream, numbers in stage["layers"].items():
            if stream not in refused:
                layers.setdefault(stream, []).extend(numbers)
    return {stream: {"layers": sorted(numbers), "width": widths[stream]} for stream, numbers in layers.items()}


def model_info(config: Any, answers: list[Mapping[str, Any]]) -> dict[str, Any]:
    """`ModelInfo` without `source`. answers: of every process; weights that ranks hold twice count once where that can be seen."""
    model, text = config.model_config, config.model_config.hf_text_config
    stages = stage_infos(answers)
    replicas = max(1, config.parallel_config.tensor_parallel_size)
    return {
        "name": str(model.served_model_name if isinstance(model.served_model_name, str) else model.model).rstrip("/").split("/")[-1],
        "architecture": str(model.hf_config.model_type),
        "layers": model.get_total_num_hidden_layers(),
        "hiddenSize": model.get_hidden_size(),
        "vocabSize": model.get_vocab_size(),
        "contextLength": int(getattr(text, "max_position_embeddings", None) or model.max_model_len),
        "parameters": sum(stage["parameters"] for stage in stages) * replicas,
        "bytes": sum(stage["bytes"] for stage in stages) * replicas,
        "quantization": model.quantization or str(model.dtype).removeprefix("torch."),
        "moe": moe_of(config, stages),
    }


def moe_of(config: Any, stages: list[Mapping[str, Any]]) -> dict[str, Any] | None:
    """`MoeInfo`; None for a dense model. A gating is None where the values do not show a rule."""
    layers = sorted((layer for stage in stages for layer in stage["moe"]), key=lambda layer: layer["layer"])
    if not layers:
        return None
    routing = [{name: layer[name] for name in ("experts", "topK", "gating")} for layer in layers]
    alike = all(one == routing[0] for one in routing)
    return {
        "layers": [layer["layer"] for layer in layers],
        **routing[0],
        "gating": routing[0]["gating"] if alike else None,
        "sharedExperts": shared_experts(config.model_config.hf_text_config),
        **({"zeroExperts": layers[0]["zeroExperts"]} if layers[0]["zeroExperts"] else {}),
        **({} if alike else {"byLayer": routing}),
    }


def shared_experts(text: Any) -> int:
    """Experts that run for every token; a single wide one counts once, as its configuration says nothing else."""
    for name in ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert"):
        count = getattr(text, name, None)
        if count is not None:
            return int(count[0] if isinstance(count, (list, tuple)) else count)
    return 1 if getattr(text, "shared_expert_intermediate_size", 0) or text.model_type == "llama4_text" else 0
