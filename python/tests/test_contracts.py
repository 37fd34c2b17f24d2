"""What decoder layers hand on, proven on layers of every kind: python -m unittest discover."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from moescope_vllm.chain import Chain
from moescope_vllm.contracts import contracts_of
from moescope_vllm.hidden import FIRST, SECOND, SUM, WHOLE

TOKENS, WIDTH = 8, 16


def norm(x: torch.Tensor, residual: torch.Tensor | None = None):
    """As vLLM's RMSNorm: with a residual it adds, and returns both."""
    whole = x if residual is None else x + residual
    normal = whole / whole.pow(2).mean(-1, keepdim=True).sqrt()
    return normal if residual is None else (normal, whole)


class Layer(torch.nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.linear = torch.nn.Linear(WIDTH, WIDTH)


class Sums(Layer):
    """Llama and most others."""

    def forward(self, x, residual):
        x, residual = (norm(x), x) if residual is None else norm(x, residual)
        return self.linear(x), residual


class SumsInPlace(Sums):
    """As fused kernels do: what was handed over is overwritten."""

    def forward(self, x, residual):
        if residual is None:
            return super().forward(x, residual)
        residual.add_(x)
        x.copy_(norm(residual))
        return self.linear(x), residual


class Stale(Layer):
    """PhiMoE, GraniteMoeHybrid, Cohere: the second one is the stream as it was, and nobody reads it."""

    def forward(self, x, residual):
        residual = x
        return residual + self.linear(norm(x)), residual


class StaleNorm(Stale):
    """Cohere: its norm takes both and adds nothing."""

    def forward(self, x, residual):
        residual = x
        x, residual = self.norm(x, residual)
        return residual + self.linear(x), residual

    @staticmethod
    def norm(x, residual):
        return norm(x), residual


class StreamSecond(Layer):
    def forward(self, x, stream):
        stream = x if stream is None else stream
        branch = self.linear(norm(stream))
        return branch, stream + branch


class Whole(Layer):
    def forward(self, x, _):
        return x + self.linear(norm(x))


class WithNothing(Whole):
    def forward(self, x, residual):
        return super().forward(x, residual), None


class Batched(Whole):
    def forward(self, x, residual):
        return super().forward(x if x.dim() == 3 else x[None], residual)


class Scales(Layer):
    """x + r / 2: no sum, and no one of them."""

    def forward(self, x, residual):
        residual = x if residual is None else x + residual / 2
        return self.linear(norm(residual)), residual


class Injects(Layer):
    """Qwen4-exp's kind: three tensors, the stream is x + gate * y."""

    def forward(self, x, y=None, gate=None):
        stream = x if y is None else x + gate * y
        return stream, self.linear(norm(stream)), torch.sigmoid(stream[:, :1])


class Streams(Layer):
    """Hyper-connections."""

    def forward(self, x, _):
        x = x if x.dim() == 3 else torch.stack((x, x), 1)
        return x + self.linear(norm(x))


class Nested(Layer):
    """Inkling: the rest is still to be computed."""

    def forward(self, x, pending):
        x = x if pending is None else x + pending[1](pending[0])
        return x, (norm(x), self.linear)


class Remembers(Layer):
    """Takes more than what the layer before it returned."""

    def __init__(self, seed: int, memory: list) -> None:
        super().__init__(seed)
        self.memory = memory

    def forward(self, x, _):
        self.memory.append(x)
        return x + self.linear(norm(self.memory[max(0, len(self.memory) - 2)]))


class Model(torch.nn.Module):
    def __init__(self, layers: list[torch.nn.Module], kind: str = "pair") -> None:
        super().__init__()
        self.layers, self.kind, self.tokens = torch.nn.ModuleList(layers), kind, TOKENS

    def forward(self):
        x, *rest = torch.zeros(self.tokens, WIDTH), None
        for layer in self.layers:
            out = layer(x, *rest)
            if self.kind == "outside":  # the residual is added here
                x = x + out
            elif isinstance(out, tuple):
                x, *rest = out
            else:
                x = out
        return self.end(x, *rest)

    def end(self, x, residual=None, *_):
        if self.kind == "first":
            return norm(x)
        if self.kind == "second":
            return norm(residual)
        out = norm(x, residual)
        return out if isinstance(out, torch.Tensor) else out[0]


class IntermediateTensors:
    """vLLM's, by its name."""

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.tensors = tensors


class Stage(Model):
    def end(self, x, residual=None, *_):
        return IntermediateTensors({"hidden_states": x, "residual": residual})


def contracts(model: torch.nn.Module) -> dict[int, str]:
    with torch.inference_mode():
        return contracts_of(Chain(model, list(enumerate(model.layers)), model, TOKENS, WIDTH))


def three(cls: type, *args) -> list[torch.nn.Module]:
    return [cls(seed, *args) for seed in range(3)]


class Contracts(unittest.TestCase):
    def check(self, model: torch.nn.Module, contract: str) -> None:
        self.assertEqual(contracts(model), dict.fromkeys(range(len(model.layers)), contract))

    def refuse(self, model: torch.nn.Module, words: str) -> None:
        with self.assertRaisesRegex(LookupError, words):
            contracts(model)

    def test_what_is_added_is_a_sum(self):
        self.check(Model(three(Sums)), SUM)
        self.check(Model(three(SumsInPlace)), SUM)

    def test_what_nobody_reads_is_no_part_of_it(self):
        self.check(Model(three(Stale), "first"), FIRST)
        self.check(Model(three(StaleNorm), "first"), FIRST)
        self.check(Model(three(StreamSecond), "second"), SECOND)
        self.check(Model(three(WithNothing), "first"), FIRST)

    def test_one_tensor(self):
        self.check(Model(three(Whole), "first"), WHOLE)
        self.check(Model(three(Batched), "first"), WHOLE)

    def test_layers_of_two_kinds_are_told_apart(self):
        class Mixed(Stale):
            """Reads a sum, hands on the stream beside what nobody reads."""

            def forward(self, x, residual):
                x = x if residual is None else x + residual
                return super().forward(x, None)[0], torch.zeros_like(x)

        self.assertEqual(contracts(Model([Sums(0), Mixed(1), Sums(2)])), {0: SUM, 1: SUM, 2: SUM})
        self.assertEqual(contracts(Model([Sums(0), Mixed(1), Stale(2)], "first")), {0: SUM, 1: FIRST, 2: FIRST})

    def test_what_is_neither_is_refused(self):
        self.refuse(Model(three(Scales), "pair"), "layer 0 returns two tensors, and layer 1 neither adds them nor takes one")
        self.refuse(Model(three(Injects), "first"), "neither adds them nor takes one of them")
        self.refuse(Model(three(Streams), "first"), r"layer 0 \(Streams\) returns a tensor \[8, 2, 16\].* several residual streams")
        self.refuse(Model(three(Nested), "first"), r"returns \(a tensor \[8, 16\], \(a tensor \[8, 16\], a Linear\)\)")

    def test_a_residual_that_is_added_outside_is_refused(self):
        self.refuse(Model(three(Whole), "outside"), "takes more from the layers before it than what layer")

    def test_other_ways_between_layers_are_refused(self):
        self.refuse(Model(three(Remembers, []), "first"), "takes more from the layers before it")

    def test_layers_that_run_twice_or_never_are_refused(self):
        layers = three(Whole)
        twice = Model(layers, "first")
        twice.layers = torch.nn.ModuleList([*layers, layers[0]])
        with self.assertRaisesRegex(LookupError, "do not run once each"):
            contracts_of(Chain(twice, list(enumerate(layers)), twice, TOKENS, WIDTH))

    def test_a_layer_that_nobody_listens_to_is_refused(self):
        class Deaf(Model):
            def end(self, x, *_):
                return torch.ones_like(x)

        self.refuse(Deaf(three(Whole)), "the model's end does not react to what layer 2 returned")

    def test_the_last_layer_of_a_pipeline_stage(self):
        self.check(Stage(three(Sums)), SUM)
        self.refuse(Stage([Sums(0)]), "layer 0 is the last of its pipeline stage")
        self.refuse(Stage([Sums(0), Sums(1), Whole(2)], "first"), "layer 2 is the last of its pipeline stage")

    def test_in_half_precision(self):
        for dtype in (torch.bfloat16, torch.float16):
            model = Model(three(Sums)).to(dtype)
            model.forward = self.in_type(model, dtype)
            self.assertEqual(contracts(model), {0: SUM, 1: SUM, 2: SUM})

    @staticmethod
    def in_type(model: Model, dtype: torch.dtype):
        def forward():
            x, residual = torch.zeros(TOKENS, WIDTH, dtype=dtype), None
            for layer in model.layers:
                x, residual = layer(x, residual)
            return norm(x, residual)[0]

        return forward


if __name__ == "__main__":
    unittest.main()
