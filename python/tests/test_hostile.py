"""What strangers may send to a server, and what a broken disk or writer does: each has an answer in words, costs little, and concerns nobody
else. Without vLLM: python -m unittest test_hostile (the routes need starlette, which comes with vLLM)."""

from __future__ import annotations

import asyncio
import base64
import importlib.util
import io
import json
import random
import sys
import tempfile
import time
import tracemalloc
import unittest
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parents[1])]

import numpy as np
import torch
from test_rows import chunk_of, labels, plan_of, told


from moescope_vllm.arguments import is_key, key_in, sample_in
from moescope_vllm.beat import beat
from moescope_vllm.collector import Collector, RowsReady
from moescope_vllm.errors import CaptureError, TooMany, WriterDied, shown
from moescope_vllm.news import NEWS, Ended, News
from moescope_vllm.pending import End, Pending
from moescope_vllm.plan import LARGEST, MAX_POSITIONS, MAX_SAMPLES, check_plan, parse_plan
from moescope_vllm.recorder import Recorder
from moescope_vllm.requests import Capture, Requests, write_plan
from moescope_vllm.sampling import options_of
from moescope_vllm.settings import Settings
from moescope_vllm.captures import MOST_CAPTURES, MOST_PLAN_BYTES, PLAN_FILE, Captures
from moescope_vllm.spool import Spool
from moescope_vllm.stops import Stops
from moescope_vllm.watch import Watch

CPU = torch.device("cpu")
STREAMS = {"router_logits": {"layers": [0, 2], "width": 8}, "hidden_states": {"layers": [0, 1, 2], "width": 4}}
GOOD = {"streams": [{"name": "router_logits", "layers": [0, 2]}], "select": {"phase": None, "positions": None, "last": None}}

HUGE = 10**4999
DEEP: list = []
for _ in range(2000):
    DEEP = [DEEP]

#: Values of JSON that something else was expected for.
STRANGE = (
    None, True, False, 0, -1, 1, 2.5, 1e999, -1e999, float("nan"), LARGEST, -LARGEST, 1 << 64, HUGE, "", "0", "x" * 100_000, "../..", "\0", "\ud800",
    [], [[]], [None], [1, "2"], [True], [-1], [LARGEST], [HUGE], ["router_logits"], {}, {"a": 1}, {"name": {}}, DEEP,
)  # fmt: skip


def mutants(raw: object, rng: random.Random, count: int) -> list:
    """Copies of a message with one place changed: a value of another kind, a member taken out or added."""
    made = []
    for _ in range(count):
        copy = json.loads(json.dumps(raw))
        holder, key = rng.choice(list(places(copy)))
        way = rng.random()
        if way < 0.7:
            holder[key] = rng.choice(STRANGE)
        elif way < 0.85:
            del holder[key]
        elif isinstance(holder, dict):
            holder[rng.choice(("streams", "select", "samples", "x" * 1000))] = rng.choice(STRANGE)
        else:
            holder.extend([rng.choice(STRANGE)] * 3)
        made.append(copy)
    return made


def places(value: object) -> list[tuple]:
    pairs = list(value.items() if isinstance(value, dict) else enumerate(value)) if isinstance(value, dict | list) else []
    return [(value, key) for key, _ in pairs] + [place for _, inner in pairs for place in places(inner)]


class Folder(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.spool = Path(folder.name)

    def limits(self, **limits) -> Settings:
        return Settings(("hidden_states",), self.spool, limits.get("host", 1 << 20), 1 << 20, 1 << 20, limits.get("waits", False))


class PlansTest(unittest.TestCase):
    def test_whatever_a_plan_is_it_is_a_plan_or_refused_in_a_few_words(self):
        rng, refused = random.Random(1), 0
        for raw in [*STRANGE, *mutants(GOOD, rng, 600)]:
            try:
                check_plan(parse_plan(raw, 3), STREAMS, {})
            except CaptureError as error:
                refused += 1
                self.assertLess(len(error.message), 500)
        self.assertGreater(refused, 400)

    def test_numbers_of_samples(self):
        for samples in STRANGE:
            if samples not in (0, 1) or isinstance(samples, bool):
                with self.assertRaises(CaptureError):
                    parse_plan(GOOD, samples)
        parse_plan(GOOD, MAX_SAMPLES)
        with self.assertRaisesRegex(CaptureError, "at most 1048576"):
            parse_plan(GOOD, MAX_SAMPLES + 1)

    def test_more_than_a_plan_can_name(self):
        for select in ({"positions": list(range(MAX_POSITIONS + 1))}, {"positions": [0] * 3_000_000}):
            with self.assertRaisesRegex(CaptureError, "there can be 131072"):
                parse_plan({**GOOD, "select": select}, 1)
        for streams in (
            [{"name": "router_logits", "layers": list(range(5000))}],
            [{"name": "router_logits", "layers": [0]}] * 2,
            [{"name": f"s{i}", "layers": []} for i in range(100_000)],
        ):
            with self.assertRaises(CaptureError):
                parse_plan({"streams": streams}, 1)

    def test_as_many_positions_as_there_can_be(self):
        plan = parse_plan({**GOOD, "select": {"positions": list(range(2 * MAX_POSITIONS, 0, -2))}}, 1)
        self.assertEqual(plan.select.matching(100, 107, 10**6).tolist(), [100, 102, 104, 106])
        self.assertEqual(parse_plan(plan.wire(), 1), plan)
        self.assertEqual(plan.select.count(11, 11), 5)

    def test_options_of_sampling(self):
        for name in ("temperature", "topK", "topP", "minP", "seed", "stop", "ignoreEos"):
            for value in (*STRANGE, [""], ["a"] * 65, 1 << 63, -(1 << 63) - 1):
                try:
                    made = options_of({name: value})
                except ValueError as error:
                    self.assertLess(len(str(error)), 300)
                    continue
                for given in made.values():
                    self.assertTrue(given is None or isinstance(given, bool | list) or -(1 << 63) <= given < 1 << 63, (name, value))
        for raw in STRANGE:
            if not isinstance(raw, dict):
                with self.assertRaises(ValueError):
                    options_of(raw)
        self.assertEqual(options_of({"temperature": 1, "seed": 5, "stop": ["a"]})["seed"], 5)

    def test_errors_show_little_of_what_was_given(self):
        for value in STRANGE:
            self.assertLess(len(shown(value)), 120)


class ArgumentsTest(Folder):
    """`vllm_xargs` of a request: they reach the scheduler, the model's process and the one that makes text."""

    def test_nothing_a_request_says_raises_into_the_engine(self):
        write_plan(self.spool, "abc", plan_of(samples=2))
        writer = mock.Mock(died=None)
        follower = Recorder(Requests(self.spool, {"hidden_states": [0]}, CPU), writer, CPU, "d0p0", None)
        watch, stops = Watch(self.spool), Stops(self.spool)
        keys = ("abc", "gone", "a" * 64, "a" * 65, "a" * 5000, "../abc", "ab\0c", "²", "ａｂｃ", "plan.json", *STRANGE)
        number = 0
        for key in keys:
            for sample in STRANGE if key == "abc" else (0, HUGE, 1e999):
                number += 1
                extra = {"moescope": key, "moescope_sample": sample}
                params = SimpleNamespace(extra_args=extra, stop=["x"])
                request = SimpleNamespace(
                    request_id=f"r{number}", req_id=f"r{number}", sampling_params=params, pooling_params=None, num_prompt_tokens=3, num_tokens=5,
                    status=SimpleNamespace(name="FINISHED_STOPPED"), prompt_token_ids=[1, 2, 3], num_computed_tokens=0,
                )  # fmt: skip
                stops.added(request)
                watch.added(request)
                stops.processed(SimpleNamespace(reqs_to_abort=[request.request_id]), ())
                step = SimpleNamespace(
                    finished_req_ids=set(), scheduled_new_reqs=[request], num_scheduled_tokens={request.req_id: 3},
                    scheduled_cached_reqs=SimpleNamespace(req_ids=[], num_computed_tokens=[]), scheduled_spec_decode_tokens={},
                )  # fmt: skip
                setattr(step, NEWS, watch.news(step.num_scheduled_tokens, ()))
                follower.before(step)
                follower.abandon()
                watch.freed(request)
                over = SimpleNamespace(**{**vars(step), "finished_req_ids": {request.req_id}, "scheduled_new_reqs": [], "num_scheduled_tokens": {}})
                setattr(over, NEWS, watch.news({}, over.finished_req_ids))
                follower.before(over)
        self.assertGreater(number, 100)
        self.assertEqual(sorted(path.name for path in self.spool.iterdir()), ["abc"])

    def test_one_end_that_is_wrong_ends_its_capture_only(self):
        for key in ("one", "two"):
            write_plan(self.spool, key, plan_of(samples=1))
        writer = mock.Mock(died=None)
        requests = Requests(self.spool, {"hidden_states": [0]}, CPU)
        follower = Recorder(requests, writer, CPU, "d0p0", None)
        tracked = [requests.admit(key, {"moescope": key}, [1, 2]) for key in ("one", "two")]
        step = SimpleNamespace(finished_req_ids=["one", "two"], scheduled_new_reqs=[], num_scheduled_tokens={})
        ended = {"one": Ended("one", 0, 2, "three", "complete"), "two": Ended("two", 0, 2, 3, "complete")}  # a text is no number
        setattr(step, NEWS, News({}, ended))
        follower.before(step)
        self.assertEqual([call.args[0] for call in writer.fail.call_args_list], [tracked[0].capture])
        self.assertEqual([call.args[0] for call in writer.end.call_args_list], [tracked[1].capture])

    def test_keys_and_samples(self):
        self.assertTrue(is_key("0123456789abcdef"))
        for key in ("", "a b", "a/b", "..", "a\n", "é", "²", None, 5, "a" * 65):
            self.assertFalse(is_key(key))
        self.assertEqual((key_in({"moescope": ["abc"]}), sample_in({}), sample_in({"moescope_sample": "7"})), ("", 0, 7))
        for value in (*STRANGE, "-1", "1_0", " 1", "１"):
            if value not in (0, 1, "0") or isinstance(value, bool):
                with self.assertRaises(ValueError):
                    sample_in({"moescope_sample": value})
        beat(self.spool, "a" * 5000)


class StateTest(Folder):
    def test_samples_cost_memory_when_they_begin(self):
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        many = [Pending(plan_of(samples=MAX_SAMPLES)) for _ in range(50)]
        collectors = [Collector(self.spool, plan_of(samples=MAX_SAMPLES)) for _ in range(50)]
        self.assertLess(tracemalloc.get_traced_memory()[1], 1 << 20)
        self.assertEqual((len(many), next(collectors[0].open)), (50, 0))

    def test_samples_far_apart_are_kept_apart(self):
        rng = random.Random(3)
        samples = [MAX_SAMPLES - 1, *rng.sample(range(MAX_SAMPLES - 1), 99)]
        capture = Capture("k", self.spool, plan_of(samples=MAX_SAMPLES), {"hidden_states": {0: 0, 1: 1}})
        pending = Pending(capture.plan)
        for position in range(4):
            rows = [(sample, position) for sample in samples]
            pending.add(chunk_of(capture, rows, {sample: position for sample in samples}))
            taken, _ = pending.take()
            self.assertEqual(labels(taken), [(sample, position - 1) for sample in samples] if position else [])
        for sample in samples:
            pending.end(End(sample, 4, 3))
        taken, ended = pending.take()
        self.assertEqual((len(labels(taken)), ended), (100, [told(sample, 4, 4) for sample in samples]))
        self.assertFalse(pending.complete)


class WriterTest(Folder):
    def start(self) -> Spool:
        writer = Spool(self.limits(), "d0p0", lambda layers: [1.0] * len(layers))
        writer.start()
        return writer

    def capture(self, key: str) -> Capture:
        plan = plan_of(samples=1)
        return Capture(key, write_plan(self.spool, key, plan), plan, {"hidden_states": {0: 0, 1: 1}})

    def whole(self, writer: Spool, key: str) -> None:
        """A capture from its first row to its end."""
        capture = self.capture(key)
        writer.put(chunk_of(capture, [(0, 0), (0, 1)], {0: 2}, prompt=2))
        writer.end(capture, End(0, 2, 2))
        found = self.until_over(capture)
        self.assertEqual(sum(item.rows for item in found if isinstance(item, RowsReady)), 2)

    def until_over(self, capture: Capture) -> list:
        collector, found, deadline = Collector(capture.folder, capture.plan), [], time.monotonic() + 20
        while not collector.complete:
            found += collector.poll()
            self.assertLess(time.monotonic(), deadline)
            time.sleep(0.005)
        return found

    def test_events_that_are_wrong_end_their_capture_only(self):
        writer = self.start()
        bad = (
            lambda capture: writer.put(chunk_of(capture, [(0, 0), (5_000_000_000, 0)][:1], {"zero": "one"})),
            lambda capture: writer.end(capture, End("zero", "two", [])),
            lambda capture: writer.end(capture, None),
            lambda capture: writer.again(capture, []),
            lambda capture: writer.put(broken(chunk_of(capture, [(0, 0)], {0: 1}), "position", np.zeros(7, np.int32))),
            lambda capture: writer.put(broken(chunk_of(capture, [(0, 0)], {0: 1}), "token_id", None)),
            lambda capture: writer.put(broken(chunk_of(capture, [(0, 0)], {0: 1}), "streams", {"hidden_states": [torch.zeros(3, 4)] * 2})),
            lambda capture: writer.fail(capture, MemoryError()),
        )
        for number, event in enumerate(bad * 20):
            capture = self.capture(f"bad{number}")
            event(capture)
            with self.assertRaises(CaptureError):
                self.until_over(capture)
            self.assertTrue(capture.failed)
            if number % 8 == 7:
                self.whole(writer, f"good{number}")
        self.assertIsNone(writer.died)

    def test_a_writer_that_has_died_says_so_to_everybody(self):
        writer = self.start()
        open_one = self.capture("open")
        writer.put(chunk_of(open_one, [(0, 0)], {0: 0}))
        with mock.patch.object(Spool, "_guarded", side_effect=SystemExit("gone")), self.assertLogs("vllm.moescope", "ERROR"):
            writer.join(5)
        self.assertFalse(writer.is_alive())
        for capture in (open_one, self.capture("other")):
            started = time.monotonic()
            writer.put(chunk_of(capture, [(0, 1)], {0: 0}))
            writer.end(capture, End(0, 2, 2))
            with self.assertRaisesRegex(CaptureError, "writes rows to files has ended"):
                self.until_over(capture)
            self.assertLess(time.monotonic() - started, 1)
        requests = Requests(self.spool, {"hidden_states": [0]}, CPU)
        follower = Recorder(requests, writer, CPU, "d0p0", None)
        late = self.capture("late")
        request = SimpleNamespace(
            req_id="r", sampling_params=SimpleNamespace(extra_args={"moescope": "late"}), pooling_params=None, prompt_token_ids=[1]
        )
        follower.before(SimpleNamespace(finished_req_ids=(), scheduled_new_reqs=[request], num_scheduled_tokens={"r": 1}))
        with self.assertRaisesRegex(CaptureError, "has ended"):
            self.until_over(late)
        with self.assertRaises(WriterDied):
            Captures(self.spool).create(plan_of(), {})
        self.start()  # the server has been started again
        Captures(self.spool).create(plan_of(), {})


def broken(chunk, name: str, value):
    setattr(chunk, name, value)
    return chunk


class ShelfTest(Folder):
    def test_captures_and_their_plans_have_limits(self):
        captures = Captures(self.spool)
        big = parse_plan({**GOOD, "select": {"positions": list(range(MAX_POSITIONS))}}, 1)
        made = 0
        with self.assertRaisesRegex(TooMany, "plans of open captures"):
            while made < 1000:
                captures.create(big, {})
                made += 1
        self.assertLess(sum(path.stat().st_size for path in self.spool.rglob(PLAN_FILE)), MOST_PLAN_BYTES)
        for folder in list(self.spool.iterdir()):
            captures.delete(folder)
        with self.assertRaisesRegex(TooMany, f"{MOST_CAPTURES} captures are open"):
            for _ in range(MOST_CAPTURES + 1):
                captures.create(plan_of(), {})
        captures.delete(next(self.spool.iterdir()))
        captures.create(plan_of(), {})

    def test_unknown_by_its_type(self):
        captures = Captures(self.spool)
        for key in ("gone", "", "..", "a" * 300, "a/b", "\0", "²"):
            with self.assertRaises(CaptureError) as caught:
                captures.find(key)
            self.assertEqual(caught.exception.status, 404)


class Engine:
    """As far as the routes look at it."""

    errored = False
    vllm_config = SimpleNamespace(model_config=SimpleNamespace(is_multimodal_model=False))


@unittest.skipUnless(importlib.util.find_spec("starlette"), "needs starlette")
class RoutesTest(Folder):
    def setUp(self):
        super().setUp()
        from starlette.applications import Starlette

        from moescope_vllm import front, http

        limits = self.limits()
        for patch in (mock.patch.object(front, "install"), mock.patch.object(http, "settings", lambda: limits), mock.patch.object(http, "sweep")):
            patch.start()
            self.addCleanup(patch.stop)
        self.app = Starlette()
        http.add_routes(self.app)
        self.app.state.engine_client = Engine()

    async def ask(self, method: str, path: str, body: bytes = b"", headers: tuple = (), leaves: bool = False) -> tuple[int, bytes]:
        """An answer's status and body. leaves: the client goes away in the middle of its message."""
        if not hasattr(self.app.state, "moescope"):
            from moescope_vllm.http import Server
            from moescope_vllm.tokens import Tokens

            self.app.state.moescope = server = Server(self.app.state.engine_client)
            server._info, server.tokens = {"streams": STREAMS, "refused": {}}, Tokens(SimpleNamespace(convert_ids_to_tokens=str, encode=codes))
        pieces = [body[at : at + 65536] for at in range(0, len(body), 65536)] or [b""]
        messages = [{"type": "http.request", "body": piece, "more_body": leaves or at + 1 < len(pieces)} for at, piece in enumerate(pieces)]
        status, received = 0, []

        async def receive() -> dict:
            if not messages and not leaves:
                await asyncio.sleep(3600)  # a client that waits for its answer
            return messages.pop(0) if messages else {"type": "http.disconnect"}

        async def send(message: dict) -> None:
            nonlocal status
            status = message.get("status", status)
            received.append(message.get("body", b""))

        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
            "query_string": b"", "headers": list(headers), "scheme": "http", "server": ("h", 80), "client": ("c", 1), "root_path": "",
        }  # fmt: skip
        await self.app(scope, receive, send)
        return status, b"".join(received)

    def answers(self, *questions: tuple) -> list[tuple[int, bytes]]:
        async def all_of_them() -> list[tuple[int, bytes]]:
            found = [await self.ask(*question) for question in questions]
            self.app.state.moescope._sweeper.cancel()
            return found

        return asyncio.run(all_of_them())

    def test_hundreds_of_bad_messages_have_answers(self):
        rng = random.Random(5)
        good = {"plan": GOOD, "samples": 2}
        image = {"prompt": "a", "images": [], "key": "abc", "sample": 0, "maxTokens": 1, "sampling": {"temperature": 0.5, "stop": ["x"]}}
        write_plan(self.spool, "abc", plan_of(samples=1))
        bodies = [b"", b"{", b"[1]", b"null", b"5", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000, b'{"samples":' + b"9" * 6000 + b"}", b"NaN",
                  b'{"samples":1e999,"plan":{"streams":[]}}', b'{"samples":2147483647,"plan":{"streams":[]}}', b'{"plan":{"streams":[]},"samples":1,"near":5}',
                  b'{"x":[' + b"1," * 1_000_000 + b"1]}", b"x" * (3 << 20)]  # fmt: skip
        bodies += [encoded(value) for value in STRANGE]
        questions = [("POST", "/v1/moescope/captures", body) for body in bodies]
        questions += [("POST", "/v1/moescope/captures", encoded(mutant)) for mutant in mutants(good, rng, 300)]
        for route in ("completions", "encode"):
            questions += [("POST", f"/v1/moescope/{route}", encoded(mutant)) for mutant in [*mutants(image, rng, 150), image]]
        texts = {"texts": [{"text": "ab", "addSpecial": False, "parseSpecial": True}, {"text": "c"}]}
        questions += [("POST", "/v1/moescope/tokenize", encoded(mutant)) for mutant in mutants(texts, rng, 150)]
        questions.append(("POST", "/v1/moescope/tokenize", encoded({"texts": [{"text": "a"}] * 4097})))
        questions += [("GET", f"/v1/moescope/captures/{key}", b"") for key in ("gone", "a" * 300, "²", "..", "%00")]
        found = self.answers(*questions)
        for (method, path, body), (status, answer) in zip(questions, found, strict=True):
            self.assertTrue(200 <= status < 500, (method, path, body[:200], status, answer[:300]))
            if status >= 400 and path.count("/") < 6 and b"Not Found" not in answer:
                error = json.loads(answer)["error"]
                self.assertLess(len(error["message"]), 600, body[:100])
        self.assertEqual([status for status, _ in found[-5:]], [404] * 5)
        self.assertEqual(found[-6][0], 413)
        self.assertEqual(self.answers(("POST", "/v1/moescope/captures", encoded(good)))[0][0], 200)
        ((status, answer),) = self.answers(("POST", "/v1/moescope/tokenize", encoded(texts)))
        self.assertEqual((status, json.loads(answer)), (200, {"tokens": [[97, 98], [1, 99]]}))

    def test_sizes_are_looked_at_before_the_message_is(self):
        declared = self.answers(("POST", "/v1/moescope/captures", b"{}", ((b"content-length", b"99999999999"),)))
        self.assertEqual(declared[0][0], 413)
        started = time.monotonic()
        wide = b'{"plan":{"streams":[],"select":{"positions":[' + b"1," * 3_000_000 + b"1]}},\"samples\":1}"
        self.assertEqual(self.answers(("POST", "/v1/moescope/captures", wide))[0][0], 413)
        self.assertLess(time.monotonic() - started, 2)
        self.assertEqual(self.answers(("POST", "/v1/moescope/captures", b'{"plan"', (), True))[0][0], 400)

    def test_what_is_wrong_in_here_is_said(self):
        with mock.patch.object(Captures, "create", side_effect=RuntimeError("broken")), self.assertLogs("vllm.moescope", "ERROR"):
            ((status, answer),) = self.answers(("POST", "/v1/moescope/captures", encoded({"plan": GOOD, "samples": 1})))
        self.assertEqual((status, json.loads(answer)["error"]["code"]), (500, "ENGINE_FAILED"))

    def test_files_that_are_no_rows_end_their_stream_in_words(self):
        for number, data in enumerate((b"", b"\0" * 8, b"\xff" * 64, (1 << 40).to_bytes(8, "little") + b"{}", b"\x02" + b"\0" * 7 + b"[]")):
            folder = write_plan(self.spool, f"k{number}", plan_of(samples=1))
            (folder / "00000001.d0p0.safetensors").write_bytes(data)
            with self.assertLogs("vllm.moescope", "ERROR"):
                ((status, answer),) = self.answers(("GET", f"/v1/moescope/captures/k{number}", b""))
            self.assertEqual((status, json.loads(answer.splitlines()[-1])["type"]), (200, "error"))


def codes(text: str, add_special_tokens: bool, split_special_tokens: bool) -> list[int]:
    """Of a tokenizer: a token is a character, and 1 goes before."""
    return [*([1] if add_special_tokens else []), *map(ord, text)]


def encoded(value: object) -> bytes:
    try:
        return json.dumps(value).encode()
    except (RecursionError, ValueError):
        return b'{"samples":' + b"[" * 5000 + b"]" * 5000 + b"}"


class ImagesTest(unittest.TestCase):
    def test_images_of_strangers(self):
        from PIL import Image

        from moescope_vllm.images import load_images

        def uri(width: int, height: int) -> str:
            out = io.BytesIO()
            Image.new("1", (width, height)).save(out, "PNG")
            return "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()

        rng, good = random.Random(2), uri(30, 20)
        data = base64.b64decode(good.partition(",")[2])
        for _ in range(300):
            changed = bytearray(data)
            for _ in range(rng.randint(1, 6)):
                changed[rng.randrange(len(changed))] = rng.randrange(256)
            try:
                load_images(["data:image/png;base64," + base64.b64encode(bytes(changed)).decode()], inline=True)
            except CaptureError as error:
                self.assertEqual(error.code, "INVALID_ARGUMENT")
        for images in ([uri(12_000, 12_000)], [uri(6_000, 6_000)] * 3):
            with self.assertRaisesRegex(CaptureError, "pixels"):
                load_images(images, inline=True)


if __name__ == "__main__":
    unittest.main()
