"""Blocks that call the kernels themselves, without vLLM: python -m unittest discover."""

from __future__ import annotations

import sys
import types
import unittest
from pathlib import Path
from unittest import mock

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from moescope_vllm import taps
from moescope_vllm.bare_blocks import KINDS, bare_blocks
from moescope_vllm.moe_layers import of_bare
from moescope_vllm.streams import EXPERT_IDS, EXPERT_WEIGHTS, ROUTER_LOGITS
from moescope_vllm.taps import TAPS, Place, Value


class Seen:
    def __init__(self) -> None:
        self.streams: dict[tuple[str, int], torch.Tensor] = {}

    def saw(self, place: Place, value: Value) -> None:
        self.streams[place.stream, place.layer] = value.rows(slice(None))


#: As vLLM 0.28 has it, shortened: the block calls a function of its module, which is not told whose experts it chooses.
ARCTIC = """
import torch
def fused_topk(x, logits, top_k, renormalize):
    weights, ids = logits.softmax(-1).topk(top_k, -1)
    return weights / weights.sum(-1, keepdim=True) if renormalize else weights, ids, None
class ArcticMoE(torch.nn.Module):
    def __init__(self, layer_id):
        super().__init__()
        self.layer_id, self.is_moe_layer, self.num_experts, self.top_k = layer_id, layer_id % 2 == 1, 4, 2
        self.gate = torch.nn.Linear(8, 4)
    def local_moe_fused(self, x):
        logits = self.gate(x)
        weights, ids, _ = fused_topk(x, logits, self.top_k, renormalize=True)
        return weights.sum(-1)
    def forward(self, x):
        return self.local_moe_fused(x) if self.is_moe_layer else x
"""

#: As 0.32 has NomicMoE, shortened: it is not told its layer.
NOMIC = """
import torch
def fused_topk(x, logits, top_k, renormalize):
    weights, ids = logits.softmax(-1).topk(top_k, -1)
    return weights / weights.sum(-1, keepdim=True) if renormalize else weights, ids, None
class NomicMoE(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.num_total_experts, self.top_k = 4, 2
        self.gate = torch.nn.Linear(8, 4)
    def forward(self, x):
        weights, ids, _ = fused_topk(x, self.gate(x), self.top_k, renormalize=False)
        return weights.sum(-1)
"""


class BareBlocks(unittest.TestCase):
    def load(self, number: int, source: str) -> types.ModuleType:
        """A module of vLLM's with the class of `KINDS[number]`."""
        module = types.ModuleType(KINDS[number].module)
        exec(source, module.__dict__)
        sys.modules[module.__name__] = module
        self.addCleanup(sys.modules.pop, module.__name__)
        return module

    def setUp(self) -> None:
        self.addCleanup(TAPS.reset, [])
        nobody_says = mock.patch.object(taps, "step_rows", lambda: None)
        nobody_says.start()
        self.addCleanup(nobody_says.stop)

    def arctic(self) -> torch.nn.Module:
        block = self.load(0, ARCTIC).ArcticMoE
        return torch.nn.Sequential(torch.nn.ModuleList(block(number) for number in range(6)))

    def nomic(self) -> torch.nn.Module:
        block = self.load(1, NOMIC).NomicMoE
        layers = [torch.nn.Sequential(block()) if number % 2 else torch.nn.Identity() for number in range(6)]
        return torch.nn.Sequential(torch.nn.ModuleList(layers))

    def capture(self, model: torch.nn.Module, streams: set[str], x: torch.Tensor) -> dict[tuple[str, int], torch.Tensor]:
        places = []

        def place(stream: str, layer: int, width: int) -> Place | None:
            if stream not in streams:
                return None
            places.append(Place(stream, layer, width, torch.device("cpu")))
            return places[-1]

        for block in bare_blocks(model, 6):
            of_bare(block).mark(place)
        TAPS.reset(places)
        TAPS.delivers, TAPS.step = True, Seen()
        for layer in model[0]:
            layer(x)
        return TAPS.step.streams

    def test_each_block_under_its_own_number(self) -> None:
        for model, normalize in ((self.arctic(), True), (self.nomic(), False)):
            x = torch.randn(3, 8)
            got = self.capture(model, {ROUTER_LOGITS, EXPERT_IDS, EXPERT_WEIGHTS}, x)
            self.assertEqual(len(got), 9)
            for block in bare_blocks(model, 6):
                logits = block.module.gate(x)
                torch.testing.assert_close(got[ROUTER_LOGITS, block.number], logits)
                weights, ids = logits.softmax(-1).topk(2, -1)
                torch.testing.assert_close(got[EXPERT_IDS, block.number], ids)
                expected = weights / weights.sum(-1, keepdim=True) if normalize else weights
                torch.testing.assert_close(got[EXPERT_WEIGHTS, block.number], expected)

    def test_streams_that_are_left_out_stay_silent(self) -> None:
        got = self.capture(self.arctic(), {EXPERT_IDS}, torch.randn(3, 8))
        self.assertEqual(set(got), {(EXPERT_IDS, number) for number in (1, 3, 5)})

    def test_blocks_of_another_model_stay_silent(self) -> None:
        model = self.arctic()
        self.capture(model, {EXPERT_IDS}, torch.randn(3, 8))
        TAPS.step.streams.clear()
        type(model[0][1])(1)(torch.randn(3, 8))
        self.assertEqual(TAPS.step.streams, {})

    def test_what_a_layer_says_of_itself(self) -> None:
        for model, normalize in ((self.arctic(), True), (self.nomic(), False)):
            layer = of_bare(bare_blocks(model, 6)[0])
            self.assertEqual((layer.number, layer.experts, layer.top_k, layer.scale), (1, 4, 2, 1.0))
            self.assertEqual((layer.gating["score"], layer.gating["normalize"]), ("softmax", normalize))


if __name__ == "__main__":
    unittest.main()
