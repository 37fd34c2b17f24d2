"""What passes a tap, and what happens where it is not what it should be: python -m unittest discover."""

from __future__ import annotations

import sys
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from moescope_vllm import graphs, hidden, split_experts, taps
from moescope_vllm.chunk import Chunk
from moescope_vllm.hidden import FIRST, SECOND, SUM, WHOLE, install
from moescope_vllm.parallel import own_part
from moescope_vllm.plan import Plan, Selection
from moescope_vllm.requests import Capture, Group
from moescope_vllm.step import Step
from moescope_vllm.streams import EXPERT_IDS, EXPERT_WEIGHTS, HIDDEN_STATES, ROUTER_LOGITS
from moescope_vllm.taps import TAPS, Place, Value
from moescope_vllm.transfer import Transfer

CPU = torch.device("cpu")
ROWS, WIDTH = 6, 4


class Seen:
    def __init__(self) -> None:
        self.values: dict[tuple[str, int], torch.Tensor] = {}
        self.errors: dict[tuple[str, int], str] = {}

    def saw(self, place: Place, value: Value) -> None:
        self.values[place.stream, place.layer] = value.rows(slice(None))

    def failed(self, place: Place, error: Exception) -> None:
        self.errors[place.stream, place.layer] = str(error)


class TapsCase(unittest.TestCase):
    """Taps of this process that listen to a step of `rows` rows."""

    def listen(self, places: list[Place], rows: int | None = ROWS, step: object = None) -> object:
        self.addCleanup(TAPS.reset, [])
        TAPS.reset(places)
        TAPS.delivers, TAPS.step = True, step or Seen()
        patch = mock.patch.object(taps, "step_rows", lambda: rows)
        patch.start()
        self.addCleanup(patch.stop)
        return TAPS.step


class Rows(TapsCase):
    """Rows are labelled by where they lie: a tensor that is not one row a token would be labelled with other tokens."""

    def setUp(self) -> None:
        self.place = Place(ROUTER_LOGITS, 3, WIDTH, CPU)

    def test_one_row_a_token(self):
        seen = self.listen([self.place])
        x = torch.randn(ROWS, WIDTH)
        self.place.saw(x)
        torch.testing.assert_close(seen.values[ROUTER_LOGITS, 3], x)

    def test_columns_behind_are_another_gates(self):
        seen = self.listen([self.place])
        self.place.saw(torch.randn(ROWS, WIDTH + 1))
        self.assertEqual(seen.values[ROUTER_LOGITS, 3].shape, (ROWS, WIDTH))

    def test_anything_else_is_no_value(self):
        for x, words in (
            (torch.randn(ROWS - 1, WIDTH), "router_logits of layer 3 passed its tap with 5 rows in a step of 6"),
            (torch.randn(ROWS + 1, WIDTH), "with 7 rows in a step of 6"),
            (torch.randn(ROWS, WIDTH - 1), r"passed its tap as \[6, 3\], not as \[tokens, 4\]"),
            (torch.randn(ROWS, 2, WIDTH), r"as \[6, 2, 4\]"),
            (None, "NoneType"),
        ):
            seen = self.listen([self.place])
            self.place.saw(x)  # never raises: the model goes on
            self.assertEqual(seen.values, {})
            self.assertRegex(seen.errors[ROUTER_LOGITS, 3], words)

    def test_a_residual_of_another_shape(self):
        seen = self.listen([self.place])
        self.place.saw(torch.randn(ROWS, WIDTH), torch.randn(1, WIDTH))
        self.assertIn("cannot be added", seen.errors[ROUTER_LOGITS, 3])

    def test_places_of_another_model_stay_silent(self):
        seen = self.listen([])
        self.place.saw(torch.randn(ROWS, WIDTH))
        self.assertEqual((seen.values, seen.errors), ({}, {}))

    def test_what_is_written_later_does_not_change_what_passed(self):
        seen = self.listen([self.place])
        x = torch.randn(ROWS, WIDTH)
        before = x.clone()
        self.place.saw(x)
        x.fill_(1)
        torch.testing.assert_close(seen.values[ROUTER_LOGITS, 3], before)


class Layer(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x + 1, x


class Inherits(Layer):
    pass


class Extends(Layer):
    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        out, residual = super().forward(x)
        return out * 2, residual


class Hidden(TapsCase):
    """Some models' layers derive from another model's: each class is wrapped when its model is loaded."""

    def capture(self, layers: list[torch.nn.Module], contract: str) -> Seen:
        places = [Place(HIDDEN_STATES, number, WIDTH, CPU) for number in range(len(layers))]
        seen = self.listen(places)
        for layer, place in zip(layers, places, strict=True):
            install(layer, place, contract)
        for layer in layers:
            layer(torch.ones(ROWS, WIDTH))
        return seen

    def test_layers_that_derive_from_wrapped_ones_speak_once(self):
        for _ in range(2):
            seen = self.capture([Layer(), Inherits(), Extends()], SUM)
            self.assertEqual([seen.values[HIDDEN_STATES, number][0, 0].item() for number in range(3)], [3, 3, 5])
            self.assertEqual(seen.errors, {})

    def test_each_contract(self):
        for contract, value in ((SUM, 3), (FIRST, 2), (SECOND, 1)):
            self.assertEqual(self.capture([Layer()], contract).values[HIDDEN_STATES, 0][0, 0].item(), value)

    def test_what_has_another_form_than_was_proven_is_no_value(self):
        self.assertEqual(self.capture([Layer()], WHOLE).values, {})

    def test_layers_without_a_place_stay_silent(self):
        install(Layer(), Place(HIDDEN_STATES, 0, WIDTH, CPU), SUM)
        seen = self.listen([])
        Layer()(torch.ones(2, WIDTH))
        self.assertEqual(seen.values, {})

    def test_a_batch_of_one_is_taken_off(self):
        torch.testing.assert_close(hidden.stream_of(WHOLE, torch.ones(1, ROWS, WIDTH))[0], torch.ones(ROWS, WIDTH))


class Graphs(TapsCase):
    """What a CUDA graph holds; recorded here without one."""

    def setUp(self):
        self.held, self.copied = Place(ROUTER_LOGITS, 0, WIDTH, CPU, held=True), Place(EXPERT_WEIGHTS, 0, WIDTH, CPU)
        self.recorded = SimpleNamespace(_moescope_seen=graphs.Seen())

    def record(self, rows: int = ROWS) -> graphs.Seen:
        TAPS.graph_tokens = 16
        self.addCleanup(setattr, TAPS, "graph_tokens", 0)
        self.listen([self.held, self.copied], rows)
        TAPS.step = None
        for place in (self.held, self.copied):
            place.saw(torch.zeros(16, WIDTH))  # memory is measured
        patch = mock.patch.object(graphs, "_recording", self.recorded)
        patch.start()
        self.addCleanup(patch.stop)
        return self.recorded._moescope_seen

    def test_only_what_stays_is_held(self):
        seen = self.record()
        for place in (self.held, self.copied):
            x = torch.ones(ROWS, WIDTH)
            place.saw(x)
            self.assertEqual(seen.tensors[place.stream, 0].data_ptr() == x.data_ptr(), place is self.held)
            x.fill_(7)
        self.assertEqual(seen.tensors[EXPERT_WEIGHTS, 0][0, 0].item(), 1)

    def test_a_tap_that_speaks_twice_is_noted(self):
        seen = self.record()
        self.held.saw(torch.ones(ROWS, WIDTH))
        self.held.saw(torch.ones(ROWS, WIDTH))
        self.assertIn("twice", str(seen.failures[ROUTER_LOGITS, 0]))

    def test_a_wrong_count_of_rows_is_noted(self):
        seen = self.record()
        self.held.saw(torch.ones(ROWS - 1, WIDTH))
        self.assertIn("with 5 rows in a step of 6", str(seen.failures[ROUTER_LOGITS, 0]))
        self.assertEqual(seen.tensors, {})


class Steps(TapsCase):
    """A capture ends when its rows cannot be trusted; others do not."""

    def setUp(self):
        self.one = self.capture("one", {ROUTER_LOGITS: {0: 0, 1: 1}})
        self.two = self.capture("two", {HIDDEN_STATES: {0: 0}})
        groups = [self.group(self.one, slice(0, 2)), self.group(self.two, slice(2, 5))]
        self.step = Step(lambda: (groups, 5), Transfer(CPU), {})
        self.places = {(s, n): Place(s, n, WIDTH, CPU) for s in (ROUTER_LOGITS, HIDDEN_STATES) for n in (0, 1)}
        self.listen(list(self.places.values()), ROWS, self.step)

    @staticmethod
    def capture(key: str, layers: dict[str, dict[int, int]]) -> Capture:
        return Capture(key, Path("/nowhere"), Plan({}, Selection(), 1), layers)

    @staticmethod
    def group(capture: Capture, rows: slice) -> Group:
        labels = np.arange(rows.start, rows.stop, dtype=np.int32)
        return Group(capture, rows, labels, labels, labels, {}, True, False)

    def say(self, *but: tuple[str, int], rows: int = ROWS) -> None:
        for key, place in self.places.items():
            if key not in but:
                place.saw(torch.full((rows, WIDTH), float(place.layer)))

    def outcome(self) -> tuple[dict[str, Chunk], dict[str, str]]:
        self.step.label(torch.arange(ROWS), torch.arange(ROWS) + 50)
        chunks, failed = self.step.chunks()
        return {chunk.capture.key: chunk for chunk in chunks}, {capture.key: str(error) for capture, error in failed}

    def test_rows_go_to_who_asked(self):
        self.say()
        chunks, failed = self.outcome()
        self.assertEqual(failed, {})
        self.assertEqual([layer.shape for layer in chunks["one"].streams[ROUTER_LOGITS]], [(2, WIDTH)] * 2)
        self.assertEqual(chunks["two"].token_id.tolist(), [2, 3, 4])
        self.assertEqual(chunks["two"].measured.tolist(), [52, 53, 54])

    def test_a_silent_tap_ends_only_the_captures_that_want_it(self):
        self.say((ROUTER_LOGITS, 1))
        chunks, failed = self.outcome()
        self.assertEqual(list(chunks), ["two"])
        self.assertRegex(failed["one"], "router_logits of layer 1 did not pass its tap")

    def test_a_tap_that_speaks_twice(self):
        self.say()
        self.places[HIDDEN_STATES, 0].saw(torch.zeros(ROWS, WIDTH))
        chunks, failed = self.outcome()
        self.assertEqual(list(chunks), ["one"])
        self.assertRegex(failed["two"], "twice in one step; its rows cannot be told apart, so this capture ends")

    def test_a_layer_that_nobody_wants_may_say_what_it_likes(self):
        self.say()
        self.places[HIDDEN_STATES, 1].saw(torch.zeros(1, WIDTH))
        self.assertEqual(self.outcome()[1], {})

    def test_some_rows_of_a_step(self):
        self.say((HIDDEN_STATES, 0))
        self.places[HIDDEN_STATES, 0].saw(torch.zeros(3, WIDTH))
        chunks, failed = self.outcome()
        self.assertEqual(list(chunks), ["one"])
        self.assertRegex(failed["two"], "with 3 rows in a step of 6")

    def test_fewer_rows_than_tokens_where_vllm_does_not_say(self):
        with mock.patch.object(taps, "step_rows", lambda: None):
            self.say(rows=4)
        self.assertRegex(self.outcome()[1]["one"], "with 4 rows in a step of 5 tokens")

    def test_a_replayed_graph(self):
        self.say((ROUTER_LOGITS, 0))
        seen = graphs.Seen()
        seen.add(self.places[ROUTER_LOGITS, 0], torch.zeros(8, WIDTH))
        self.step.replayed(seen)
        self.assertEqual(self.outcome()[1], {})

    def test_graphs_that_do_not_fit_the_step(self):
        for size, further, words in ((4, False, "has 4 rows in a CUDA graph for a step of 5"), (8, True, "twice")):
            self.setUp()
            self.say((ROUTER_LOGITS, 0))
            for _ in range(1 + further):
                seen = graphs.Seen()
                seen.add(self.places[ROUTER_LOGITS, 0], torch.zeros(size, WIDTH))
                self.step.replayed(seen)
            self.assertRegex(self.outcome()[1]["one"], words)


class DataParallel(unittest.TestCase):
    """Adapted from vLLM's own tests of its capture of routed experts."""

    def test_this_ranks_part(self):
        for rows, counts, shards, rank, part in (
            (3, [3, 5], None, 0, (0, 3)),  # its own tokens
            (8, [3, 5], None, 1, (3, 8)),  # all ranks', one after the other
            (8, [3, 3], [2, 2, 2, 2], 0, (0, 3)),  # in pieces for two tensor-parallel ranks each, padded
            (8, [3, 3], [2, 2, 2, 2], 1, (4, 7)),
            (12, [5, 6], [3, 3, 3, 3], 1, (6, 12)),
        ):
            self.assertEqual(own_part(rows, counts, shards, rank), slice(*part), (rows, counts, shards, rank))

    def test_layouts_that_agree_are_no_question(self):
        self.assertEqual(own_part(6, [3, 3], [3, 3], 1), slice(3, 6))  # gathered, and there was no padding

    def test_parts_that_cannot_be_told_are_refused(self):
        for rows, counts, shards, rank, words in (
            (7, [3, 5], None, 0, "no layout has as many rows"),
            (9, [3, 5], [3, 3, 3], 0, "no layout has as many rows"),  # pieces that are no multiple of the ranks
            (5, [1, 5], [2, 3], 1, "are as many"),  # its own, or all ranks' with padding
        ):
            with self.assertRaisesRegex(LookupError, words):
                own_part(rows, counts, shards, rank)


class Split(TapsCase):
    """Text and image tokens go to experts of their own."""

    def setUp(self):
        self.whole = {
            stream: Place(stream, 2, width, CPU) for stream, width in ((ROUTER_LOGITS, 7), (EXPERT_IDS, 2), (EXPERT_WEIGHTS, 2))
        }
        self.seen = self.listen(list(self.whole.values()))
        widths = {ROUTER_LOGITS: (3, 4), EXPERT_IDS: (2, 2), EXPERT_WEIGHTS: (2, 2)}
        self.joints = [
            split_experts.Joint(place, tuple(split_experts.Part(place, width) for width in widths[stream]), 3)
            for stream, place in self.whole.items()
        ]

    def run_block(self, mask: list[bool] | None, text: int, image: int) -> None:
        for which, (rows, experts) in enumerate(((text, 3), (image, 4))):
            if rows:
                for joint in self.joints:
                    joint.parts[which].saw(self.value(joint.place.stream, which, rows, experts))
        split_experts.deliver(self.joints, torch.zeros(ROWS, 8), None if mask is None else torch.tensor(mask)[:, None])

    @staticmethod
    def value(stream: str, which: int, rows: int, experts: int) -> torch.Tensor:
        if stream == EXPERT_IDS:
            return torch.tensor([[row % experts, (row + 1) % experts] for row in range(rows)], dtype=torch.int32)
        return torch.arange(rows * (experts if stream == ROUTER_LOGITS else 2)).view(rows, -1) + 100.0 * which

    def test_rows_where_the_tokens_went(self):
        self.run_block([False, True, True, False, True, False], 3, 3)
        self.assertEqual(self.seen.errors, {})
        ids, logits = self.seen.values[EXPERT_IDS, 2].tolist(), self.seen.values[ROUTER_LOGITS, 2]
        self.assertEqual(ids, [[0, 1], [3, 4], [4, 5], [1, 2], [5, 6], [2, 0]])
        self.assertEqual(logits[0].tolist(), [0, 1, 2] + [-torch.inf] * 4)
        self.assertEqual(logits[4].tolist(), [-torch.inf] * 3 + [108, 109, 110, 111])
        self.assertEqual(self.seen.values[EXPERT_WEIGHTS, 2][:, 0].tolist(), [0, 100, 102, 2, 104, 4])

    def test_text_only_and_images_only(self):
        for mask in (None, [False] * ROWS):
            self.run_block(mask, ROWS, 0)
            self.assertEqual(self.seen.values[EXPERT_IDS, 2].max().item(), 2)
        self.run_block([True] * ROWS, 0, ROWS)
        self.assertEqual(self.seen.values[EXPERT_IDS, 2].min().item(), 3)
        self.assertEqual(self.seen.errors, {})

    def test_what_cannot_be_told_is_no_value(self):
        for mask, text, image in (
            ([True] * 2 + [False] * 4, 3, 3),
            ([True] * 2 + [False] * 4, 4, 0),
            (None, 3, 3),
            (None, 0, 0),
            ([True] * 5, 3, 2),
        ):
            self.seen.errors.clear(), self.seen.values.clear()
            self.run_block(mask, text, image)
            self.assertEqual((len(self.seen.errors), self.seen.values), (3, {}), (mask, text, image))


if __name__ == "__main__":
    unittest.main()
