"""What the TypeScript side wants to know of a model: its `ModelInfo`, from the configuration and from what vLLM built."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any


def stage_infos(answers: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Of `collective_rpc("moescope_info")`: the processes that deliver rows, by pipeline stage."""
    return sorted((answer for answer in answers if answer["delivers"]), key=lambda answer: answer["stage"])


def streams_of(config: Any, stages: list[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """stream -> {"layers", "width"}, all stages together."""
    moe = moe_of(config, stages)
    widths = {"hidden_states": config.model_config.get_hidden_size()}
    if moe:
        widths |= {"router_logits": moe["experts"], "expert_ids": moe["topK"], "expert_weights": moe["topK"]}
    layers: dict[str, list[int]] = {}
    for stage in stages:
        for stream, numbers in stage["layers"].items():
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
    """`MoeInfo`; None for a dense model. Its gating is None where the values do not show a rule."""
    parts = [stage["moe"] for stage in stages if stage["moe"]]
    if not parts:
        return None
    text = config.model_config.hf_text_config
    return {
        "layers": sorted(layer for part in parts for layer in part["layers"]),
        "experts": parts[0]["experts"],
        "topK": parts[0]["topK"],
        "sharedExperts": shared_experts(text),
        "zeroExperts": parts[0]["zeroExperts"],
        "gating": parts[0]["gating"] if all(part["gating"] == parts[0]["gating"] for part in parts) else None,
    }


def shared_experts(text: Any) -> int:
    """Experts that run for every token; a single wide one counts once, as its configuration says nothing else."""
    for name in ("n_shared_experts", "num_shared_experts", "moe_num_shared_experts", "num_shared_expert"):
        count = getattr(text, name, None)
        if count is not None:
            return int(count[0] if isinstance(count, (list, tuple)) else count)
    return 1 if getattr(text, "shared_expert_intermediate_size", 0) or text.model_type == "llama4_text" else 0
