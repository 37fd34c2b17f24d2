"""What Hugging Face transformers computes: the four streams of this engine, by layer. Imported by `harness.py`."""

from __future__ import annotations

from typing import Any

import routers
import torch
from family import Family
from reference import decoder_layers

Values = dict[str, torch.Tensor]


@torch.no_grad()
def run(family: Family, model: Any, token_ids: list[int], **inputs: torch.Tensor) -> Values:
    """router_logits.<layer> [token, expert], expert_ids and expert_weights [token, slot], in any order of slots, hidden_states [token,
    hidden] (what the decoder layer returns). inputs: further ones of the model, an image for instance."""
    values: Values = {}
    handles = []
    for module in model.modules():
        # vLLM's backend for transformers' modules makes their class one that it compiles.
        module.__dict__.setdefault("do_not_compile", True)
    for index, layer in enumerate(decoder_layers(model)):
        handles.append(layer.register_forward_hook(hidden_state(values, index)))
        for module in layer.modules():
            if routers.is_router(module):
                handles.append(module.register_forward_hook(routing(values, family, index)))
    try:
        model(input_ids=torch.tensor([token_ids]), **inputs)
    finally:
        for handle in handles:
            handle.remove()
    return values


def hidden_state(values: Values, index: int) -> Any:
    def hook(_module: Any, _inputs: Any, output: Any) -> None:
        values[f"hidden_states.{index}"] = (output[0] if isinstance(output, tuple) else output)[0].clone()

    return hook


def routing(values: Values, family: Family, index: int) -> Any:
    def hook(router: Any, inputs: Any, output: Any) -> None:
        logits, ids, weights = routers.decision(router, inputs, output, family)
        for stream, value in (("router_logits", logits), ("expert_ids", ids), ("expert_weights", weights)):
            values[f"{stream}.{index}"] = value.reshape(len(ids), -1).clone()

    return hook
