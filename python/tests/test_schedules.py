"""Random schedules: whatever the engine does, every row of a sample comes once, is labelled with its own position and token, and holds what the
model computed behind the sample's own tokens. Without vLLM; see `simulated_engine.py`."""

from __future__ import annotations

import random
import sys
import tempfile
import unittest
from pathlib import Path
from unittest import mock

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

import numpy as np
import torch
from simulated_engine import SimulatedEngine, Settings, value

from moescope_vllm import recorder
from moescope_vllm.chunk import Chunk
from moescope_vllm.pending import End, Pending
from moescope_vllm.plan import Plan, Selection
from moescope_vllm.requests import Requests, write_plan

CPU = torch.device("cpu")
SELECTIONS = (
    Selection(),
    Selection(),
    Selection(phase="generated"),
    Selection(phase="prompt"),
    Selection(last=2),
    Selection(phase="generated", last=3),
    Selection(positions=(0, 3, 9, 14)),
)


class FakeStep:
    """In place of the taps: each row's value is a function of the tokens that were computed before it."""

    values: list[float] = []

    def __init__(self, wanted, *_):
        self._wanted = wanted

    def label(self, tokens, positions):
        self._labels = tokens, positions

    def chunks(self):
        tokens, positions = self._labels
        groups, rows = self._wanted()
        assert rows == len(tokens)
        return [self._chunk(group, tokens, positions) for group in groups], []

    def _chunk(self, group, tokens, positions):
        rows = group.rows
        values = torch.tensor(self.values, dtype=torch.float64)[rows, None]
        measured = positions[rows].clone() if group.measured else None
        return Chunk(
            group.capture, group.sample, group.position, group.prompt, tokens[rows].clone(), {"hidden_states": [values]}, group.certain,
            measured, group.repeats,
        )  # fmt: skip


class Rows:
    """In place of the thread that writes files: what comes out, as soon or late as the dice say."""

    died = None

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._pending: dict[str, Pending] = {}
        self.rows: dict[tuple[str, int], list[tuple[int, int, float]]] = {}
        self.ended: dict[tuple[str, int], dict] = {}

    def put(self, chunk: Chunk) -> None:
        self._of(chunk.capture).add(chunk)
        self._take(chunk.capture.key)

    def end(self, capture, end: End) -> None:
        self._of(capture).end(end)
        self._take(capture.key)

    def again(self, capture, sample: int) -> None:
        self._of(capture).again(sample)
        self._take(capture.key)

    def fail(self, capture, error) -> None:
        raise error

    def flush(self) -> None:
        for key in self._pending:
            self._take(key, always=True)

    def complete(self, key: str) -> bool:
        return self._pending[key].complete

    def _of(self, capture) -> Pending:
        return self._pending.setdefault(capture.key, Pending(capture.plan))

    def _take(self, key: str, always: bool = False) -> None:
        if not always and self._rng.random() < 0.6:
            return
        chunk, records = self._pending[key].take()
        if chunk is not None:
            values = chunk.streams["hidden_states"][0][:, 0].tolist()
            for sample, position, token, held in zip(
                chunk.sample.tolist(), chunk.position.tolist(), chunk.token_id.tolist(), values, strict=True
            ):
                self.rows.setdefault((key, sample), []).append((position, token, held))
        for record in records:
            self.ended[key, record["sample"]] = record


class Recording:
    """A recorder as the plugin makes it, fed by the simulated engine."""

    def __init__(self, spool: Path, rows: Rows, speculative: bool) -> None:
        requests = Requests(spool, {"hidden_states": [0]}, CPU, speculative)
        self._recorder = recorder.Recorder(requests, rows, CPU, "d0p0", None)
        self.before, self.batch = self._recorder.before, self._recorder.batch
        self._rows = rows

    def ran(self, positions: list[int], tokens: list[int], values: list[float]) -> None:
        FakeStep.values = values
        labels = torch.tensor(tokens, dtype=torch.int32), torch.tensor(positions, dtype=torch.int64)
        self._recorder.ran(lambda: labels)
        self._recorder.deliver()


def simulate(test: unittest.TestCase, seed: int, asynchronous: bool, drafts: int, retries: bool, dropping: bool) -> None:
    rng = random.Random(seed)
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(recorder, "Step", FakeStep):
        spool, rows = Path(folder), Rows(rng)
        settings = Settings(asynchronous, drafts, budget=rng.choice((4, 9, 64)), room=rng.choice((40, 60, 10_000)))
        settings.stop_token, settings.trims = rng.choice((None, 7)), rng.random() < 0.3
        engine = SimulatedEngine(settings, Recording(spool, rows, drafts > 0), spool, rng)
        plans = {key: Plan({"hidden_states": (0,)}, rng.choice(SELECTIONS), rng.randint(1, 5)) for key in ("one", "two")}
        asked: dict[tuple[str, int], list[str]] = {}
        todo = []
        for key, plan in plans.items():
            write_plan(spool, key, plan)
            for sample in range(plan.samples):
                prompt = [rng.randint(10, 40) for _ in range(rng.randint(1, 20))]
                todo.append((key, sample, prompt, rng.randint(1, 12)))
        rng.shuffle(todo)
        aborted = set()
        number = 0

        def send(key: str, sample: int, prompt: list[int], limit: int) -> None:
            nonlocal number
            number += 1
            name = f"r{number}"
            engine.add(name, prompt, limit, {"moescope": key, "moescope_sample": sample})
            asked.setdefault((key, sample), []).append(name)

        first = list(todo)
        while todo or engine.busy:
            if todo and rng.random() < 0.5:
                send(*todo.pop())
            if rng.random() < 0.1:
                engine.preempt(dropping and rng.random() < 0.5)
            if rng.random() < 0.04 and asked:
                key, sample = rng.choice(list(asked))
                name = asked[key, sample][-1]
                if name in engine.requests:
                    again = next(entry for entry in first if entry[:2] == (key, sample))
                    late = rng.random() < 0.5
                    if not late:
                        engine.abort(name)
                    if retries and rng.random() < 0.7:
                        if rng.random() < 0.5:
                            engine.step()
                        send(*again)
                    else:
                        aborted.add((key, sample))
                    if late:
                        if rng.random() < 0.5:
                            engine.step()
                        engine.abort(name)
            engine.step()
        rows.flush()
        for (key, sample), names in asked.items():
            check(test, plans[key], rows, key, sample, [engine.done[name] for name in names], f"seed {seed}, {key} {sample}")
        for key, plan in plans.items():
            if all(rows.ended[key, sample]["how"] != "aborted" for sample in range(plan.samples)):
                test.assertTrue(rows.complete(key))


def check(test: unittest.TestCase, plan: Plan, rows: Rows, key: str, sample: int, requests: list, what: str) -> None:
    record = rows.ended.get((key, sample))
    test.assertIsNotNone(record, f"{what}: it never ended")
    got = rows.rows.get((key, sample), [])
    # Who took the sample over counts, also when the one before would have come to its end.
    whole = [request for request in requests if request.status.name == "FINISHED_STOPPED"]
    request = whole[0] if whole and (record["how"] != "aborted" or len(requests) == 1) else requests[-1]
    positions = [position for position, _, _ in got]
    test.assertEqual(positions, sorted(set(positions)), what)
    test.assertEqual(record["rows"], len(got), what)
    prompt = request.num_prompt_tokens
    if request.status.name == "FINISHED_STOPPED":
        test.assertEqual(record["how"], "complete", f"{what}: {record}")
        test.assertEqual(record["tokens"], request.num_tokens - 1, what)
        select = plan.select
        wanted = select.matching(0, request.num_tokens - 1, prompt).tolist()
        test.assertEqual(positions, wanted if select.last is None else wanted[-select.last :], what)
    else:
        test.assertEqual(record["how"], "aborted", f"{what}: {record}")
        request = max(requests, key=lambda one: one.num_tokens)
        test.assertLessEqual(record["tokens"], max(prompt, request.num_tokens - 1), what)
    for position, token, held in got:
        test.assertEqual(token, request.tokens[position], f"{what}: token at {position}")
        test.assertEqual(held, value(request.tokens[: position + 1]), f"{what}: value at {position}")


class SchedulesTest(unittest.TestCase):
    def test_every_row_once_and_right(self):
        for seed in range(400):
            rng = random.Random(seed + 10_000)
            options = dict(
                asynchronous=rng.random() < 0.6, drafts=rng.choice((0, 0, 1, 3, 5)), retries=rng.random() < 0.5, dropping=rng.random() < 0.3
            )
            if options["dropping"]:
                options["retries"] = False  # a second request would draw other tokens than the first
            with self.subTest(seed=seed, **options):
                simulate(self, seed, **options)


if __name__ == "__main__":
    unittest.main()
