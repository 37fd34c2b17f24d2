"""Where taps are put, without vLLM: python -m unittest discover."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from moescope_vllm.attach import wrap_forward
from moescope_vllm.streams import HIDDEN_STATES
from moescope_vllm.taps import TAPS, Place


class Layer(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + 1, x


class Inherits(Layer):
    pass


class Extends(Layer):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out, residual = super().forward(x)
        return out * 2, residual


class Seen:
    def __init__(self) -> None:
        self.values: dict[int, torch.Tensor] = {}

    def saw(self, stream: str, layer: int, x: torch.Tensor, residual: torch.Tensor | None, lasting: bool) -> None:
        self.values[layer] = x + residual


class WrapForward(unittest.TestCase):
    """Some models' layers derive from another model's: each class is wrapped when its model is loaded."""

    def test_layers_that_derive_from_wrapped_ones(self) -> None:
        layers = [Layer(), Inherits(), Extends()]
        places = [Place(HIDDEN_STATES, number, torch.device("cpu")) for number in range(3)]
        for _ in range(2):
            for cls in (Layer, Inherits, Extends):
                wrap_forward(cls)
        for layer, place in zip(layers, places, strict=True):
            layer._moescope_hidden, layer._moescope_anchor = place, place.anchor
        TAPS.reset(places)
        TAPS.delivers, TAPS.step = True, Seen()
        self.addCleanup(TAPS.reset, [])
        x = torch.ones(2, 4)
        for layer in layers:
            layer(x)
        self.assertEqual([TAPS.step.values[number][0, 0].item() for number in range(3)], [3, 3, 5])

    def test_layers_without_a_place_stay_silent(self) -> None:
        wrap_forward(Layer)
        TAPS.reset([])
        TAPS.delivers, TAPS.step = True, Seen()
        self.addCleanup(TAPS.reset, [])
        Layer()(torch.ones(2, 4))
        self.assertEqual(TAPS.step.values, {})


if __name__ == "__main__":
    unittest.main()
