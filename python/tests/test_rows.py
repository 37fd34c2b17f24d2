"""Labelling and delivery, without an engine: python -m unittest discover python/tests (needs torch, numpy, safetensors)."""

from __future__ import annotations

import json
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import numpy as np
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from moescope_vllm.chunk import Chunk
from moescope_vllm.collector import Collector, RowsReady, SampleEnded
from moescope_vllm.errors import CaptureError
from moescope_vllm.pending import End, Pending
from moescope_vllm.plan import Plan, Selection, check_plan, parse_plan
from moescope_vllm.requests import Capture, Requests, SampleRefused, write_plan
from moescope_vllm.rows_file import read_metadata, write_rows
from moescope_vllm.settings import Settings
from moescope_vllm.spool import Spool

CPU = torch.device("cpu")
HIDDEN = {"hidden_states": (0, 1)}


def plan_of(samples: int = 2, **select) -> Plan:
    return Plan(HIDDEN, Selection(**select), samples)


def value(sample: int, position: int, layer: int) -> float:
    return sample * 1000 + position + layer / 2


def chunk_of(capture: Capture, rows: list[tuple[int, int]], certain: dict[int, int], prompt: int = 3) -> Chunk:
    sample, position = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    layers = [torch.tensor([[value(s, p, layer)] * 4 for s, p in rows]) for layer in (0, 1)]
    tokens = torch.from_numpy(position + 100)
    return Chunk(capture, sample, position, np.full(len(rows), prompt, dtype=np.int32), tokens, {"hidden_states": layers}, certain)


def labels(chunk: Chunk | None) -> list[tuple[int, int]]:
    return [] if chunk is None else list(zip(chunk.sample.tolist(), chunk.position.tolist(), strict=True))


def told(sample: int, rows: int, tokens: int, how: str = "complete", why: str | None = None, attempt: int = 0) -> dict:
    return {"sample": sample, "rows": rows, "tokens": tokens, "how": how, "why": why, "attempt": attempt}


class SelectionTest(unittest.TestCase):
    def test_counts_what_matching_lists(self):
        for select in (
            Selection(),
            Selection(phase="prompt"),
            Selection(phase="generated", last=2),
            Selection(positions=(0, 4, 9)),
            Selection(last=3),
        ):
            matching = select.matching(0, 8, 5).tolist()
            expected = matching if select.last is None else matching[-select.last :]
            self.assertEqual(select.count(8, 5), len(expected))
            self.assertTrue(all(position >= select.first(5) for position in expected), select)

    def test_last_rows_of_a_prompt_are_known_from_the_start(self):
        self.assertEqual(Selection(last=2).first(10), 8)
        self.assertEqual(Selection(phase="prompt", last=2).first(10), 8)
        self.assertEqual(Selection(positions=(1, 3, 5, 20), last=2).first(10), 3)

    def test_bad_plans_are_named(self):
        for raw in (
            {},
            {"streams": [{"name": "router_logits", "layers": [-1]}]},
            {"streams": [], "select": {"last": 0}},
            [],
            {"streams": [{}]},
        ):
            with self.assertRaises(CaptureError) as caught:
                parse_plan(raw, 1)
            self.assertEqual(caught.exception.code, "INVALID_ARGUMENT")
        with self.assertRaises(CaptureError) as caught:
            parse_plan({"streams": [{"name": "colour", "layers": [0]}]}, 1)
        self.assertEqual(caught.exception.code, "UNKNOWN_STREAM")
        with self.assertRaises(CaptureError) as caught:
            check_plan(plan_of(), {"hidden_states": {"layers": [0]}}, {})
        self.assertEqual(caught.exception.code, "UNKNOWN_LAYER")

    def test_plans_survive_the_wire(self):
        plan = plan_of(phase="prompt", positions=(0, 2), last=1)
        self.assertEqual(parse_plan(plan.wire(), 2), plan)


class PendingTest(unittest.TestCase):
    def setUp(self):
        self.capture = Capture("k", Path("/nowhere"), plan_of(), {"hidden_states": {0: 0, 1: 1}})

    def test_the_newest_generated_row_waits_and_the_overrun_is_dropped(self):
        pending = Pending(plan_of(samples=1))
        pending.add(chunk_of(self.capture, [(0, 0), (0, 1), (0, 2)], {0: 3}))
        pending.add(chunk_of(self.capture, [(0, 3)], {0: 3}))
        taken, ended = pending.take()
        self.assertEqual((labels(taken), ended), ([(0, 0), (0, 1), (0, 2)], []))
        pending.add(chunk_of(self.capture, [(0, 4)], {0: 4}))
        pending.end(End(0, tokens=4, prompt=3))  # the token at position 3 ended the text: position 4 was one step too many
        taken, ended = pending.take()
        self.assertEqual((labels(taken), ended), ([(0, 3)], [told(0, 4, 4)]))
        self.assertEqual(taken.streams["hidden_states"][1].tolist(), [[value(0, 3, 1)] * 4])
        self.assertEqual(pending.nbytes, 0)

    def test_last_rows_are_those_before_the_end(self):
        pending = Pending(plan_of(samples=2, last=2))
        pending.add(chunk_of(self.capture, [(0, 1), (0, 2), (1, 1), (1, 2)], {0: 3, 1: 3}))
        for position in (3, 4, 5):
            pending.add(chunk_of(self.capture, [(0, position), (1, position)], {0: position, 1: position}))
            pending.take()
        pending.end(End(0, tokens=5, prompt=3))  # position 5 was one too many
        self.assertEqual(labels(pending.take()[0]), [(0, 3), (0, 4)])
        pending.end(End(1, tokens=6, prompt=3))
        self.assertEqual(labels(pending.take()[0]), [(1, 4), (1, 5)])
        self.assertTrue(pending.complete)

    def test_a_missing_row_is_an_error(self):
        pending = Pending(plan_of(samples=1))
        pending.add(chunk_of(self.capture, [(0, 0), (0, 2)], {0: 3}))
        pending.end(End(0, tokens=3, prompt=3))
        with self.assertRaisesRegex(LookupError, "2 of 3 rows"):
            pending.take()


    def step(self, positions: list[int], certain: int, wrong: float = 0.0) -> Chunk:
        """A step of drafts: positions are the model's. wrong: added to the values."""
        chunk = chunk_of(self.capture, [(0, position) for position in positions], {0: certain})
        chunk.measured, chunk.repeats = torch.from_numpy(chunk.position), True
        chunk.position = np.full(len(positions), -1, dtype=np.int32)
        for layer in chunk.streams["hidden_states"]:
            layer += wrong
        return chunk

    def test_a_draft_that_was_rejected_gives_way(self):
        for last in (None, 2):
            pending = Pending(plan_of(samples=1, last=last))
            pending.add(chunk_of(self.capture, [(0, 0), (0, 1), (0, 2)], {0: 3}))
            got = []
            for step, certain in (([3], 3), ([4, 5, 6], 3), ([5, 6], 4), ([6, 7, 8], 5)):  # of 5, 6 none was right, then one
                pending.add(self.step(step, certain, wrong=0.0 if step[-1] == 8 or step == [3] else 500.0))
                got += labels(pending.take()[0])
            # 4 was computed once and counts; 5 and 6 were computed again.
            pending.end(End(0, tokens=8, prompt=3))
            taken, _ = pending.take()
            got += labels(taken)
            self.assertEqual(got, [(0, position) for position in range(8)] if last is None else [(0, 6), (0, 7)])
            self.assertEqual([row[0].item() for row in taken.streams["hidden_states"][0][-2:]], [value(0, 6, 0), value(0, 7, 0)])
            self.assertEqual(pending.nbytes, 0)

    def test_rows_that_only_the_model_could_place_are_selected_here(self):
        pending = Pending(plan_of(samples=1, positions=(1, 5)))
        pending.add(chunk_of(self.capture, [(0, 1)], {0: 3}))
        pending.add(self.step([4, 5, 6], certain=3))
        pending.end(End(0, tokens=7, prompt=3))
        self.assertEqual(labels(pending.take()[0]), [(0, 1), (0, 5)])

    def test_a_sample_that_is_taken_over_goes_on(self):
        pending = Pending(plan_of(samples=2))
        pending.add(chunk_of(self.capture, [(0, 0), (0, 1), (0, 2), (1, 0)], {0: 3, 1: 3}))
        self.assertEqual(len(labels(pending.take()[0])), 4)
        pending.end(End(0, tokens=3, prompt=3, how="aborted"))
        self.assertEqual(pending.take(), (None, [told(0, 3, 3, "aborted")]))
        pending.again(0)
        pending.add(chunk_of(self.capture, [(0, 0), (0, 1)], {0: 3}))
        self.assertEqual(pending.take(), (None, []))
        pending.add(chunk_of(self.capture, [(0, 2), (0, 3)], {0: 3}))
        pending.end(End(0, tokens=4, prompt=3, attempt=1))
        taken, ended = pending.take()
        self.assertEqual((labels(taken), ended), ([(0, 3)], [told(0, 4, 4, attempt=1)]))
        self.assertFalse(pending.complete)

    def test_a_sample_that_is_taken_over_by_another_text_fails_alone(self):
        pending = Pending(plan_of(samples=2))
        pending.add(chunk_of(self.capture, [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2)], {0: 4, 1: 3}))
        pending.take()
        pending.again(0)
        other = chunk_of(self.capture, [(0, 0), (0, 1), (0, 2), (0, 3)], {0: 4})
        other.token_id[3] = 7
        pending.add(other)
        pending.end(End(0, tokens=4, prompt=3, attempt=1))
        pending.end(End(1, tokens=3, prompt=3))
        taken, (first, second) = pending.take()
        self.assertIsNone(taken)
        self.assertEqual((first["how"], first["rows"], second), ("failed", 4, told(1, 3, 3)))
        self.assertIn("other tokens", first["why"])
        self.assertTrue(pending.complete)

    def test_labels_that_the_model_contradicts_are_an_error(self):
        pending = Pending(plan_of(samples=1))
        chunk = chunk_of(self.capture, [(0, 0), (0, 1), (0, 2)], {0: 3})
        chunk.measured = torch.tensor([0, 2, 2], dtype=torch.int32)
        pending.add(chunk)
        with self.assertRaisesRegex(LookupError, "position 1, the model computed position 2"):
            pending.take()


class RequestsTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.spool = Path(self.folder.name)
        self.requests = Requests(self.spool, {"hidden_states": [0, 1, 2]}, CPU)

    def admit(self, request: str, sample: int, prompt: int, key: str = "abc"):
        return self.requests.admit(request, {"moescope": key, "moescope_sample": sample}, list(range(prompt)))

    def wanted(self, order: list[str], scheduled: dict[str, int], starts: dict[str, int], requests: Requests | None = None):
        settled = {request: max(known.prompt, starts[request]) for request, known in (requests or self.requests).tracked.items() if request in starts}
        return (requests or self.requests).wanted({request: scheduled[request] for request in order}, starts, settled)

    def test_every_row_once_through_chunks_preemption_and_reordering(self):
        write_plan(self.spool, "abc", plan_of(samples=2))
        self.admit("a", 0, 5)
        self.admit("b", 1, 2)
        seen: list[tuple[int, int]] = []
        batches: list[int] = []
        for order, scheduled, starts, settled in (
            (["x", "a"], {"x": 4, "a": 3}, {"x": 0, "a": 0}, {"a": 5}),
            (["b", "a", "x"], {"b": 2, "a": 2, "x": 1}, {"b": 0, "a": 3, "x": 4}, {"a": 5, "b": 2}),
            (["a", "b"], {"a": 1, "b": 1}, {"a": 5, "b": 2}, {"a": 5, "b": 2}),
            (["a"], {"a": 6}, {"a": 0}, {"a": 6}),  # preempted: computes everything again
            (["b", "a"], {"b": 1, "a": 1}, {"b": 3, "a": 6}, {"b": 3, "a": 6}),
        ):
            for group in self.requests.wanted({request: scheduled[request] for request in order}, starts, settled):
                seen += zip(group.sample.tolist(), group.position.tolist(), strict=True)
                rows = group.rows
                batches += range(rows.start, rows.stop) if isinstance(rows, slice) else rows.tolist()
        self.assertEqual(sorted(seen), [(0, p) for p in range(7)] + [(1, p) for p in range(4)])
        self.assertEqual(batches, [4, 5, 6, 0, 1, 2, 3, 0, 1, 0, 1])

    def test_rows_are_selected_before_they_leave_the_device(self):
        write_plan(self.spool, "abc", plan_of(samples=1, positions=(1, 4)))
        self.admit("a", 0, 6)
        (group,) = self.wanted(["x", "a"], {"x": 2, "a": 6}, {"x": 0, "a": 0})
        self.assertEqual((group.rows.tolist(), group.position.tolist()), ([3, 6], [1, 4]))
        self.assertEqual(self.wanted(["a"], {"a": 1}, {"a": 6}), [])

    def test_captures_do_not_mix(self):
        for key in ("one", "two"):
            write_plan(self.spool, key, plan_of(samples=1))
        self.admit("a", 0, 2, "one")
        self.admit("b", 0, 2, "two")
        groups = self.wanted(["a", "b"], {"a": 2, "b": 2}, {"a": 0, "b": 0})
        self.assertEqual([group.capture.key for group in groups], ["one", "two"])
        self.assertEqual([group.rows for group in groups], [slice(0, 2), slice(2, 4)])

    def test_bad_keys_and_samples_are_refused(self):
        write_plan(self.spool, "abc", plan_of(samples=2))
        for arguments in (
            {"moescope": "../abc"},
            {"moescope": "zzz"},
            {"moescope": "abc", "moescope_sample": 2},
            {"moescope": "abc", "moescope_sample": -1},
            {"moescope": "abc", "moescope_sample": "x"},
            {"moescope": "abc", "moescope_sample": None},
        ):
            with self.assertRaises(CaptureError) as caught:
                self.requests.admit("b", arguments, [1, 2])
            self.assertNotIsInstance(caught.exception, SampleRefused)
        self.assertEqual(self.requests.tracked, {})

    def test_a_second_request_for_a_sample_takes_it_over(self):
        write_plan(self.spool, "abc", plan_of(samples=2))
        first, other = self.admit("a", 0, 2), self.admit("b", 1, 2)
        second = self.admit("again", 0, 2)
        self.assertEqual(set(self.requests.tracked), {"b", "again"})
        self.assertEqual((first.capture.samples[0].attempt, other.capture.samples[1].attempt), (1, 0))
        self.assertIsNone(self.requests.retire("a", complete=False))  # its end is nobody's
        self.assertIs(self.requests.retire("again", complete=True), second)
        self.assertIsNone(self.admit("late", 0, 2))  # the sample is over
        self.assertEqual(set(self.requests.tracked), {"b"})

    def test_a_second_request_with_another_prompt_ends_its_sample_only(self):
        write_plan(self.spool, "abc", plan_of(samples=2))
        self.admit("a", 0, 2)
        self.admit("b", 1, 2)
        with self.assertRaisesRegex(SampleRefused, "different prompts"):
            self.admit("other", 0, 3)
        self.assertEqual(set(self.requests.tracked), {"b"})
        self.assertIsNone(self.admit("late", 0, 2))

    def test_a_prompt_that_grows_is_refused(self):
        write_plan(self.spool, "abc", plan_of(samples=1))
        self.admit("a", 0, 2)
        self.assertIsNone(self.admit("a", 0, 2))  # preempted, and back
        with self.assertRaisesRegex(SampleRefused, "grew"):
            self.admit("a", 0, 4)

    def test_a_request_that_never_started_is_not_forgotten(self):
        write_plan(self.spool, "abc", plan_of(samples=2))
        capture = self.requests.lost("abc", 1)
        self.assertEqual(capture.key, "abc")
        self.assertIsNone(self.requests.lost("abc", 1))
        self.assertIsNone(self.requests.lost("abc", 7))
        self.assertIsNone(self.requests.lost("gone", 0))
        self.admit("again", 1, 2)
        self.assertEqual(capture.samples[1].attempt, 1)

    def test_a_sample_belongs_to_the_replica_that_began_it(self):
        write_plan(self.spool, "abc", plan_of(samples=2))
        here, stage, there = (Requests(self.spool, {}, CPU, replica=replica) for replica in (0, 0, 1))
        for requests in (here, stage):
            requests.admit("a", {"moescope": "abc", "moescope_sample": 0}, [1])
        with self.assertRaisesRegex(SampleRefused, "another data-parallel rank"):
            there.admit("again", {"moescope": "abc", "moescope_sample": 0}, [1])
        self.assertEqual(there.tracked, {})
        there.admit("b", {"moescope": "abc", "moescope_sample": 1}, [1])

    def test_what_the_scheduler_does_not_say_is_an_error(self):
        write_plan(self.spool, "abc", plan_of(samples=1))
        self.admit("a", 0, 2)
        with self.assertRaisesRegex(LookupError, "does not say"):
            self.requests.wanted({"a": 2}, {"a": 0}, {})

    def test_drafts_have_positions_that_only_the_model_knows(self):
        write_plan(self.spool, "abc", plan_of(samples=2, phase="generated"))
        requests = Requests(self.spool, {"hidden_states": [0]}, CPU, speculative=True)
        for sample, request in enumerate("ab"):
            requests.admit(request, {"moescope": "abc", "moescope_sample": sample}, [1, 2, 3])
        self.assertEqual(self.wanted(["a", "b"], {"a": 3, "b": 3}, {"a": 0, "b": 0}, requests), [])
        (group,) = self.wanted(["x", "b", "a"], {"x": 2, "b": 3, "a": 1}, {"x": 5, "b": 3, "a": 3}, requests)
        self.assertEqual((group.rows, group.sample.tolist()), (slice(2, 6), [1, 1, 1, 0]))
        self.assertEqual((group.position.tolist(), group.measured, group.repeats), ([-1] * 4, True, True))


class FilesTest(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        self.spool = Path(self.folder.name)

    def test_safetensors_reads_what_was_written(self):
        path = self.spool / "x.safetensors"
        layers = [torch.randn(5, 3, dtype=torch.bfloat16) for _ in range(2)]
        tensors = {"rows.sample": torch.arange(5, dtype=torch.int32), "rows.phase": torch.ones(5, dtype=torch.uint8)}
        tensors |= {"hidden_states.0": layers[0], "hidden_states.7": layers[1]}
        tensors["expert_ids.7"] = torch.arange(10, dtype=torch.int32).to(torch.uint16).view(5, 2)
        size = write_rows(path, tensors, {"ended": []})
        self.assertEqual(size, path.stat().st_size)
        self.assertEqual(read_metadata(path), ({"ended": []}, 5))
        with safe_open(str(path), "pt") as file:
            self.assertEqual(file.metadata()["format"], "moescope.rows/2")
            self.assertTrue(torch.equal(file.get_tensor("hidden_states.7"), layers[1]))
            self.assertEqual(file.get_tensor("expert_ids.7").to(torch.int32).tolist(), [[0, 1], [2, 3], [4, 5], [6, 7], [8, 9]])
            self.assertEqual(file.get_tensor("rows.phase").tolist(), [1] * 5)
        header = json.loads(path.read_bytes()[8 : 8 + int.from_bytes(path.read_bytes()[:8], "little")])
        sizes = {"I32": 4, "U8": 1, "BF16": 2, "U16": 2}
        for name, tensor in header.items():
            if name != "__metadata__":
                self.assertEqual(tensor["data_offsets"][0] % sizes[tensor["dtype"]], 0, name)

    def start(self, stage: str = "d0p0", **limits) -> Spool:
        settings = Settings(
            streams=("hidden_states",), spool=self.spool, waits=limits.get("waits", False), host_bytes=limits.get("host", 1 << 20),
            spool_bytes=limits.get("files", 1 << 20), capture_bytes=limits.get("capture", 1 << 20),
        )  # fmt: skip
        spool = Spool(settings, stage, lambda layers: [1.0] * len(layers))
        spool.start()
        return spool

    def collect(self, collector: Collector) -> list:
        found, deadline = [], time.monotonic() + 20
        while not collector.complete:
            found += collector.poll()
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.005)
        return found

    def test_rows_arrive_while_the_sample_runs_and_the_folder_empties(self):
        plan = plan_of(samples=1)
        capture = Capture("abc", write_plan(self.spool, "abc", plan), plan, {"hidden_states": {0: 0, 1: 1}})
        spool, collector = self.start(), Collector(capture.folder, plan)
        spool.put(chunk_of(capture, [(0, 0), (0, 1), (0, 2)], {0: 3}))
        first: list = []
        while not first:
            first = collector.poll()
        self.assertEqual((type(first[0]), first[0].rows), (RowsReady, 3))
        spool.put(chunk_of(capture, [(0, 3)], {0: 3}))
        spool.end(capture, End(0, 4, 3))
        rest = self.collect(collector)
        self.assertEqual([type(item) for item in rest], [RowsReady, SampleEnded])
        self.assertEqual(rest[1], SampleEnded(0, 4, 4))
        self.assertEqual(load_file(rest[0].path)["rows.phase"].tolist(), [1])
        self.assertEqual(spool._waiting_bytes, 0)

    def test_the_limit_of_files_is_named_and_ends_the_capture_only(self):
        plan = plan_of(samples=1)
        captures = [Capture(key, write_plan(self.spool, key, plan), plan, {"hidden_states": {0: 0, 1: 1}}) for key in ("one", "two")]
        spool = self.start(files=150)
        for position in range(3):
            spool.put(chunk_of(captures[0], [(0, position)], {0: position + 1}, prompt=9))
            time.sleep(0.12)
        with self.assertRaises(CaptureError) as caught:
            self.collect(Collector(captures[0].folder, plan))
        self.assertEqual(caught.exception.code, "OUT_OF_MEMORY")
        self.assertIn("MOESCOPE_SPOOL_BYTES", caught.exception.message)
        self.assertTrue(captures[0].failed)
        self.assertFalse(captures[1].failed)

    def test_a_slow_reader_leaves_room_for_others(self):
        plan = plan_of(samples=1)
        slow, other = (Capture(key, write_plan(self.spool, key, plan), plan, {"hidden_states": {0: 0, 1: 1}}) for key in ("one", "two"))
        spool = self.start(capture=1000)
        for position in range(6):
            spool.put(chunk_of(slow, [(0, position)], {0: position + 1}, prompt=9))
            time.sleep(0.12)
        with self.assertRaises(CaptureError) as caught:
            self.collect(Collector(slow.folder, plan))
        self.assertIn("MOESCOPE_CAPTURE_BYTES", caught.exception.message)
        spool.put(chunk_of(other, [(0, 0)], {0: 1}))
        spool.end(other, End(0, 1, 1))
        self.assertEqual([type(item) for item in self.collect(Collector(other.folder, plan))], [RowsReady, SampleEnded])

    def test_stages_become_one_file(self):
        whole = Plan({"hidden_states": (0, 1), "router_logits": (1,)}, Selection(), 1)
        folder = write_plan(self.spool, "abc", whole)
        collector = Collector(folder, whole, stages=2)
        for stage, own in enumerate(({"hidden_states": {0: 0}}, {"hidden_states": {1: 0}, "router_logits": {1: 0}})):
            capture = Capture("abc", folder, whole, own)
            spool = self.start(f"d0p{stage}")
            for positions in ((0, 1), (2,)) if stage == 0 else ((0,), (1, 2)):
                streams = {s: [torch.tensor([[value(0, p, layer)] * 4 for p in positions]) for layer in own[s]] for s in own}
                count = len(positions)
                spool.put(
                    Chunk(capture, np.zeros(count, np.int32), np.array(positions, np.int32), np.full(count, 3, np.int32),
                          torch.tensor(positions, dtype=torch.int32), streams, {0: positions[-1] + 1})
                )  # fmt: skip
                time.sleep(0.12)
            spool.end(capture, End(0, 3, 3))
        found = self.collect(collector)
        files = [load_file(item.path) for item in found if isinstance(item, RowsReady)]
        self.assertEqual(torch.cat([file["rows.position"] for file in files]).tolist(), [0, 1, 2])
        for name, layer in (("hidden_states.0", 0), ("hidden_states.1", 1), ("router_logits.1", 1)):
            values = torch.cat([file[name] for file in files])
            self.assertEqual(values[:, 0].tolist(), [value(0, p, layer) for p in range(3)])
        self.assertEqual([item for item in found if isinstance(item, SampleEnded)], [SampleEnded(0, 3, 3)])


if __name__ == "__main__":
    unittest.main()
