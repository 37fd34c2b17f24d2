"""The MoE layers of a model, whatever vLLM builds them of."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch

from . import gating, split_experts, zero_experts
from .bare_blocks import BareBlock, bare_blocks
from .held import experts_are_held, logits_are_held
from .streams import EXPERT_IDS, EXPERT_WEIGHTS, ROUTED, ROUTER_LOGITS
from .taps import Place

#: Towers that have layers too, but whose rows are no tokens of the text; and what drafts tokens, inside of the model or beside it.
TOWERS, DRAFTS = ("visual", "vision", "audio", "image_encoder"), ("mtp", "draft")

#: Makes a place, or None where the stream is not to be tapped: stream, layer, width, held.
MakePlace = Callable[..., Place | None]


@dataclass(frozen=True)
class MoeLayer:
    """number: in the whole model. experts: slots the router chooses among, zero experts counted, which come last. gating: the `Gating`
    of src/core/gating.ts, None where nobody can be asked. scale: the factor the model applies to the experts' sum instead of to
    their weights. refused: streams that it does not have, with why. mark: puts its taps where :data:`MakePlace` says.

    runner: vLLM's own layer; None where that is another kind."""

    number: int
    experts: int
    top_k: int
    gating: dict[str, Any] | None
    scale: float
    mark: Callable[[MakePlace], None]
    zero_experts: int = 0
    refused: dict[str, str] = field(default_factory=dict)
    runner: Any = None


def moe_layers(model: torch.nn.Module, config: Any) -> list[MoeLayer]:
    """Those of this process, in order; none for a dense model."""
    runners = moe_runners(model, config)
    blocks = split_experts.split_blocks(model, runners)
    split = {id(runner) for block in blocks for runner in block.runners}
    found = [of_split(block) for block in blocks]
    found += [of_runner(runner) for runner in runners if id(runner) not in split]
    found += [of_source(module) for name, module in model.named_modules() if is_capture_source(module) and not in_tower(name)]
    found += [of_bare(block) for block in bare_blocks(model, config.model_config.get_total_num_hidden_layers())]
    return sorted(found, key=lambda layer: layer.number)


def ambiguous(layers: list[MoeLayer]) -> str | None:
    """Why their rows could not be told apart, if so."""
    twice = [number for number, count in Counter(layer.number for layer in layers).items() if count > 1]
    if twice:
        return f"layer {twice[0]} has several MoE layers of vLLM, and a row could belong to any of them"
    sizes = {(layer.experts, layer.top_k) for layer in layers}
    return several_sizes(sizes) if len(sizes) > 1 else None


def several_sizes(sizes: set[tuple[int, int]]) -> str:
    """experts and top-k of the layers."""
    several = " or ".join(f"{top_k} of {experts}" for experts, top_k in sorted(sizes))
    return f"its layers choose {several} experts, and vLLM's rows have one width for all layers"


def moe_runners(model: torch.nn.Module, config: Any) -> list[Any]:
    """As vLLM registers them, those of the model itself: a drafter registers its own among them, under names that may be a layer's."""
    from vllm.model_executor.layers.fused_moe.runner.moe_runner import MoERunner

    context, own = config.compilation_config.static_forward_context, set(model.modules())
    runners = [module for name, module in context.items() if isinstance(module, MoERunner) and module in own and not in_tower(name)]
    return sorted(runners, key=lambda runner: runner.layer_id)


def of_runner(runner: Any) -> MoeLayer:
    zero = zero_experts.count(runner.router)
    experts, top_k = runner.moe_config.num_logical_experts + zero, runner.moe_config.experts_per_token
    held, number = experts_are_held(runner), runner.layer_id
    refused, outside = refused_of(runner), gate_is_outside(runner)

    def mark(place: MakePlace) -> None:
        logits = None if outside else place(ROUTER_LOGITS, number, experts, logits_are_held(runner))
        ids = None if EXPERT_IDS in refused else place(EXPERT_IDS, number, top_k, held and not zero)
        weights = None if EXPERT_WEIGHTS in refused else place(EXPERT_WEIGHTS, number, top_k, held and not zero)
        mark_runner(runner, logits, ids, weights)

    return MoeLayer(number, experts, top_k, gating.of(runner), runner.routed_scaling_factor, mark, zero, refused, runner)


def mark_runner(runner: Any, logits: Place | None, ids: Place | None, weights: Place | None) -> None:
    runner._moescope_logits = logits
    if logits is not None:
        runner.register_buffer("_moescope_anchor", logits.anchor, persistent=False)
    if runner._quant_method.is_monolithic:
        if ids is not None:
            listen_to_kernel(runner, ids)
        return
    if zero_experts.count(runner.router):
        return zero_experts.mark(runner.router, ids, weights)
    runner.router._moescope_ids, runner.router._moescope_weights = ids, weights
    runner.router.set_capture_fn(getattr(runner.router, "capture_fn", None))  # from now on ours is asked too


def gate_is_outside(runner: Any) -> bool:
    """Whether a module of transformers chooses the experts, and what the layer takes for logits is something else: their weights, or
    (from vLLM 0.33 on) the hidden states that the router then calls the module with. See `gates.py`."""
    if type(runner).__name__ == "TransformersMoERunner":
        return True
    function = getattr(runner.router, "custom_routing_function", None)
    return isinstance(function, partial) and any(isinstance(value, torch.nn.Module) for value in (*function.args, *function.keywords.values()))


def refused_of(runner: Any) -> dict[str, str]:
    """Streams that vLLM's MoE layer does not show."""
    refused = {}
    if runner._quant_method.is_monolithic:
        kernel = monolithic_kernel(runner)
        why = f"this model's MoE kernel ({type(kernel or runner._quant_method).__name__}) chooses experts inside itself"
        refused[EXPERT_WEIGHTS] = why
        if not tells_experts(runner, kernel):
            refused[EXPERT_IDS] = f"{why} and does not tell which"
    elif not hasattr(runner.router, "set_capture_fn"):
        why = f"vLLM's router {type(runner.router).__name__} cannot be asked what it chose"
        refused |= {EXPERT_IDS: why, EXPERT_WEIGHTS: why}
    return refused


def monolithic_kernel(runner: Any) -> Any:
    kernel = getattr(runner._quant_method, "moe_kernel", None)
    return getattr(getattr(kernel, "impl", kernel), "fused_experts", None)


def tells_experts(runner: Any, kernel: Any) -> bool:
    """Whether the kernel writes the experts it chose where vLLM's own capture of routed experts reads them. With replicas of experts
    (EPLB) these are numbers of replicas."""
    asked = getattr(kernel, "supports_routing_replay_capture", None)
    return asked is not None and bool(asked()) and hasattr(runner.routed_experts, "routing_sink") and runner.eplb_state is None


def listen_to_kernel(runner: Any, ids: Place) -> None:
    from vllm.model_executor.layers.fused_moe.routed_experts_capturer import RoutedExpertsSink

    runner.routed_experts.routing_sink = RoutedExpertsSink(monolithic_kernel(runner).moe_config, ids.saw)


def of_split(block: split_experts.SplitBlock) -> MoeLayer:
    first, second = (of_runner(runner) for runner in block.runners)
    experts, number = first.experts + second.experts, block.number
    refused = first.refused | second.refused

    def mark(place: MakePlace) -> None:
        widths = {ROUTER_LOGITS: experts, EXPERT_IDS: first.top_k, EXPERT_WEIGHTS: first.top_k}
        made = {stream: place(stream, number, width) for stream, width in widths.items() if stream not in refused}
        parts = split_experts.mark(block, {stream: one for stream, one in made.items() if one is not None})
        for which, runner in enumerate(block.runners):
            mark_runner(runner, *(parts[stream][which] if stream in parts else None for stream in widths))

    return MoeLayer(number, experts, first.top_k, first.gating, first.scale, mark, refused=refused)


def is_capture_source(module: Any) -> bool:
    """A MoE layer of its own kind that vLLM's own capture of routed experts asks (`RoutedExpertsCaptureSource`)."""
    return hasattr(type(module), "layer_id") and "capture_fn" in vars(module) and hasattr(module, "top_k")


def of_source(module: Any) -> MoeLayer:
    why = f"vLLM's {type(module).__name__} tells which experts it was given, nothing else"
    experts = getattr(module, "num_logical_experts", module.num_experts)

    def mark(place: MakePlace) -> None:
        ids = place(EXPERT_IDS, module.layer_id, module.top_k)
        if ids is not None:
            module.capture_fn = ids.saw

    refused = {ROUTER_LOGITS: why, EXPERT_WEIGHTS: why}
    return MoeLayer(module.layer_id, experts, module.top_k, None, 1.0, mark, refused=refused)


def of_bare(block: BareBlock) -> MoeLayer:
    widths = {ROUTER_LOGITS: block.experts, EXPERT_IDS: block.top_k, EXPERT_WEIGHTS: block.top_k}

    def mark(place: MakePlace) -> None:
        block.mark({stream: place(stream, block.number, width) for stream, width in widths.items()})

    return MoeLayer(block.number, block.experts, block.top_k, block.gating, 1.0, mark)


def in_tower(name: str) -> bool:
    """Of a module. A tower is named before the layers it has; a layer of the text may have experts for images."""
    parts = name.split(".")
    outside = next((index for index, part in enumerate(parts) if part.isdigit()), len(parts))
    return any(part.startswith(TOWERS) for part in parts[:outside]) or any(part.startswith(DRAFTS) for part in parts)


def refused_streams(layers: list[MoeLayer]) -> dict[str, str]:
    """Streams that not all of the layers have, each with why."""
    refused = {}
    for layer in layers:
        for stream, why in layer.refused.items():
            refused.setdefault(stream, why)
    why = ambiguous(layers)
    return dict.fromkeys(ROUTED, why) if why else refused
